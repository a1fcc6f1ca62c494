/**
 * Peer update: changes keys of a client in a gateway's file and in the gateways that run from it, or in neither: the
 * file is locked until they have applied it, and what one of them refuses is taken back everywhere.
 */
import { type Config, type PeerConfig } from "../../core/config/config.ts";
import { configChange } from "../../core/config/config_change.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { parseConfig } from "../../core/config/parse_config.ts";
import { type PeerKeyEdit, withPeerKey } from "../../core/config/text/peer_edit.ts";
import { formatCidr } from "../../core/wire/ipv4_text.ts";
import { clientFileName, clientFilePath, clientFolderName } from "../../host/files/client_files.ts";
import { LockedConfig } from "../../host/files/config_store.ts";
import { hostNames } from "../../host/dns/host_names.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { findPeer, peerTitle, refuseTakenName } from "./peer_names.ts";

/** Has running gateways apply a change, or throws where one does not; then none has. */
export type ApplyLive = (
  server: Config,
  change: { readonly before: PeerConfig; readonly after: PeerConfig },
) => Promise<readonly string[]>;

export interface UpdatedPeer {
  readonly before: PeerConfig;
  /** As the file has it now. */
  readonly after: PeerConfig;
  readonly server: Config;
  /** The interfaces of the gateways that have applied it. */
  readonly appliedOn: readonly string[];
}

/**
 * Makes an edit of a client.
 *
 * @param name its name or public key
 * @throws {ConfigError | AppError} with nothing changed
 */
export async function updatePeer(
  configPath: string,
  { name, edit }: { readonly name: string; readonly edit: PeerKeyEdit },
  applyLive: ApplyLive,
): Promise<UpdatedPeer> {
  using file = await LockedConfig.open(configPath);
  const { text, config } = file.read();
  const before = findPeer(config, name);
  if (edit.key === "Name" && edit.value !== null && edit.value !== before.name) {
    refuseTakenName(config, edit.value, `rename ${peerTitle(before)}`);
  }
  const edited = withPeerKey(text, before, edit);
  // What is written can be read again, whatever the file was like.
  const server = parseConfig(edited, configPath, { names: hostNames() });
  const after = server.peers.find(({ publicKey }) =>
    encodeKey(publicKey) === encodeKey(before.publicKey)
  )!;
  refuseOthersNetworks(config, before, edit);
  requireAlone(configChange(config, server), before);
  using moved = new DisposableStack();
  const isMoved = linkClientFile(file, moved, { configPath, before, after });
  // The lock goes with the file that is replaced: that comes last.
  const appliedOn = await applyLive(server, { before, after });
  try {
    if (edited !== text) file.replace(edited);
  } catch (error) {
    await applyLive(server, { before: after, after: before });
    throw error;
  }
  moved.move();
  if (isMoved) {
    const place = [clientFolderName(configPath), clientFileName(before.name!)] as const;
    file.removeBeside(...place, clientFilePath(configPath, before.name!));
  }
  return { before, after, server, appliedOn };
}

/** A network is the last peer's that is given it: which that would be, the places in the file would decide. */
function refuseOthersNetworks(config: Config, peer: PeerConfig, { key, value }: PeerKeyEdit): void {
  if (key !== "AllowedIPs" || value === null) return;
  const given = new Set(value.split(/[\s,]+/));
  for (const other of config.peers) {
    if (other === peer) continue;
    const taken = [...other.allowedIps.map(formatCidr), ...other.allowedIps6]
      .find((network) => given.has(network));
    if (taken === undefined) continue;
    throw new AppError(
      `Cannot change ${peerTitle(peer)}: ${taken} belongs to ${
        peerTitle(other)
      }: take it from that one first`,
      { exitCode: ExitCode.usage },
    );
  }
}

/** No edit may turn one section's line into another's. */
function requireAlone(
  { put, removed, settings }: ReturnType<typeof configChange>,
  peer: PeerConfig,
): void {
  const isPeer = (key: Uint8Array) => encodeKey(key) === encodeKey(peer.publicKey);
  const isAlone = removed.length === 0 && Object.keys(settings).length === 0 &&
    put.every((each) => isPeer(each.peer.publicKey));
  if (isAlone) return;
  throw new AppError(
    `Cannot change ${
      peerTitle(peer)
    }: other parts of the file would change with it: edit the file itself, and run ` +
      "`vpn reload`",
    { exitCode: ExitCode.usage },
  );
}

/** The client's own file, where it is kept, goes by its name: under both names until all is done. */
function linkClientFile(
  file: LockedConfig,
  moved: DisposableStack,
  { configPath, before, after }: {
    readonly configPath: string;
    readonly before: PeerConfig;
    readonly after: PeerConfig;
  },
): boolean {
  if (before.name === null || after.name === null || before.name === after.name) return false;
  const folder = clientFolderName(configPath);
  const names = { from: clientFileName(before.name), to: clientFileName(after.name) };
  const path = clientFilePath(configPath, after.name);
  if (!file.linkBeside(folder, names, path)) return false;
  moved.defer(() => {
    file.removeBeside(folder, names.to, path);
  });
  return true;
}
