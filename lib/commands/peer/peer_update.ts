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
import { chosenPeers, peerTitle, refuseTakenName } from "./peer_names.ts";

/** Has running gateways apply a change, or throws where one does not; then none has. */
export type ApplyLive = (
  server: Config,
  changes: readonly ChangedPeer[],
) => Promise<readonly string[]>;

export interface ChangedPeer {
  readonly before: PeerConfig;
  /** As the file has it now. */
  readonly after: PeerConfig;
}

export interface UpdatedPeers {
  readonly changes: readonly ChangedPeer[];
  readonly server: Config;
  /** The interfaces of the gateways that have applied it. */
  readonly appliedOn: readonly string[];
}

/**
 * Makes an edit of a client, or of all in a group.
 *
 * @param name its name or public key; `@` and the name of the group
 * @throws {ConfigError | AppError} with nothing changed
 */
export async function updatePeers(
  configPath: string,
  { name, edit }: { readonly name: string; readonly edit: PeerKeyEdit },
  applyLive: ApplyLive,
): Promise<UpdatedPeers> {
  using file = await LockedConfig.open(configPath);
  const { text, config } = file.read();
  const chosen = chosenPeers(config, name);
  for (const peer of chosen) refuseTaken(config, peer, edit);
  const edited = chosen.reduce((so, peer) => withPeerKey(so, peer, edit), text);
  // What is written can be read again, whatever the file was like.
  const server = parseConfig(edited, configPath, { names: hostNames() });
  requireAlone(configChange(config, server), chosen);
  const byKey = new Map(server.peers.map((peer) => [encodeKey(peer.publicKey), peer]));
  const changes = chosen.map((before): ChangedPeer => ({
    before,
    after: byKey.get(encodeKey(before.publicKey))!,
  }));
  using moved = new DisposableStack();
  const linked = changes.filter((change) => linkClientFile(file, moved, { configPath, ...change }));
  // The lock goes with the file that is replaced: that comes last.
  const appliedOn = await applyLive(server, changes);
  try {
    if (edited !== text) file.replace(edited);
  } catch (error) {
    await applyLive(server, changes.map(({ before, after }) => ({ before: after, after: before })));
    throw error;
  }
  moved.move();
  for (const { before } of linked) {
    const place = [clientFolderName(configPath), clientFileName(before.name!)] as const;
    file.removeBeside(...place, clientFilePath(configPath, before.name!));
  }
  return { changes, server, appliedOn };
}

function refuseTaken(config: Config, peer: PeerConfig, edit: PeerKeyEdit): void {
  if (edit.key === "Name" && edit.value !== null && edit.value !== peer.name) {
    refuseTakenName(config, edit.value, `rename ${peerTitle(peer)}`);
  }
  refuseOthersNetworks(config, peer, edit);
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
  peers: readonly PeerConfig[],
): void {
  const keys = new Set(peers.map(({ publicKey }) => encodeKey(publicKey)));
  const isAlone = removed.length === 0 && Object.keys(settings).length === 0 &&
    put.every(({ peer }) => keys.has(encodeKey(peer.publicKey)));
  if (isAlone) return;
  throw new AppError(
    `Cannot change ${
      peers.map(peerTitle).join(", ")
    }: other parts of the file would change with it: edit the file ` +
      "itself, and run `vpn reload`",
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
