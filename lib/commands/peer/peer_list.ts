/** Command `vpn peer list`: a gateway's clients, as its file or its store has them, or as it runs. */
import type { PeerRequest } from "../../cli/command.ts";
import { tableLines } from "../../cli/table.ts";
import type { PeerEntry } from "../../control/application/methods.ts";
import type { Config, PeerConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { formatExpires } from "../../core/config/values/expiry.ts";
import { formatQuota } from "../../core/config/values/quota.ts";
import { admissionOf } from "../../core/peers/admission.ts";
import { formatCidr } from "../../core/wire/ipv4_text.ts";
import { clientFilePath, readClientFile } from "../../host/files/client_files.ts";
import { ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { knownGroup, membersOf } from "./peer_names.ts";
import { runningPeers } from "./running_peers.ts";
import { loadWithPeers } from "./store_peers.ts";

type ListRequest = Extract<PeerRequest, { readonly action: "list" }>;

/** A client, as the list has it; `file` is its configuration, if it is kept. */
interface ListedPeer extends Omit<PeerEntry, "settings" | "revision"> {
  readonly file: string | null;
}

/** Who they are, and where from. */
interface Listed {
  readonly peers: readonly ListedPeer[];
  /** As in "server.conf". */
  readonly place: string;
  /** What stands above the list; null for nothing, where the caller has named the place. */
  readonly title: string | null;
  readonly warnings: readonly string[];
}

/** @throws {ConfigError | AppError} where they cannot be read */
export async function listPeers(request: ListRequest): Promise<number> {
  const { interfaceName, group, json } = request;
  const { peers, place, title, warnings } = interfaceName === undefined
    ? await listedInFile(request)
    : await listedRunning(interfaceName, group);
  if (json) {
    writeText(Deno.stdout, `${JSON.stringify(peers, null, 2)}\n`);
    return ExitCode.ok;
  }
  for (const warning of warnings) writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
  const lines = peers.length > 0 ? peerTable(peers) : [
    group === null
      ? `${place} has no peers: \`vpn peer add NAME\` adds one`
      : `${place} has no peers in group ${group}: \`vpn peer set NAME Groups ${group}\` adds one`,
  ];
  writeText(Deno.stdout, `${[...title === null ? [] : [title], ...lines].join("\n")}\n`);
  return ExitCode.ok;
}

async function listedInFile({ configPath, group }: ListRequest): Promise<Listed> {
  const config = await loadWithPeers(configPath);
  const now = Date.now();
  const chosen = group === null ? config.peers : membersOf(config, group);
  const hasStore = config.interface.store.length > 0;
  return {
    peers: chosen.map((peer) => ({
      name: peer.name,
      publicKey: encodeKey(peer.publicKey),
      allowedIps: networksOf(config, peer),
      hasPresharedKey: peer.presharedKey !== null,
      groups: peer.groups,
      admission: admissionOf(peer, now),
      expires: peer.expires === null ? null : formatExpires(peer.expires),
      quota: peer.quota === null ? null : formatQuota(peer.quota),
      quotaRate: peer.quotaRate,
      nextPublicKey: peer.nextKey && encodeKey(peer.nextKey.publicKey),
      keyExpires: keyEndOf(peer),
      file: fileOf(configPath, peer),
    })),
    place: hasStore ? "the store" : configPath,
    title: hasStore ? `Clients in the store that ${configPath} names:` : null,
    warnings: config.warnings,
  };
}

async function listedRunning(interfaceName: string, group: string | null): Promise<Listed> {
  const { list, file, hasStore } = await runningPeers(interfaceName);
  const place = `the gateway on ${interfaceName}`;
  if (group !== null) knownGroup(place, list.groups.map(({ name }) => name), group);
  const chosen = list.peers.filter(({ groups }) => group === null || groups.includes(group));
  const from = hasStore ? "from its store" : file === null ? "its file is gone" : `from ${file}`;
  return {
    peers: chosen.map(({ settings: _settings, revision: _revision, ...peer }) => ({
      ...peer,
      file: file === null ? null : fileOf(file, peer),
    })),
    place,
    title: `Clients that ${place} has by now, ${from}:`,
    warnings: [],
  };
}

function peerTable(peers: readonly ListedPeer[]): string[] {
  const isLimited = peers.some(({ admission, expires }) =>
    admission !== "admitted" || expires !== null
  );
  const isGrouped = peers.some(({ groups }) => groups.length > 0);
  const isBounded = peers.some(({ quota }) => quota !== null);
  const rows = peers.map((
    { name, publicKey, allowedIps, file, admission, expires, groups, quota },
  ) => [
    name ?? "-",
    allowedIps.join(", ") || "-",
    ...isGrouped ? [groups.join(", ") || "-"] : [],
    ...isLimited ? [admission, expires ?? "never"] : [],
    ...isBounded ? [quota ?? "-"] : [],
    publicKey,
    file ?? "-",
  ]);
  const more = [
    ...isGrouped ? ["GROUPS"] : [],
    ...isLimited ? ["ACCESS", "EXPIRES"] : [],
    ...isBounded ? ["QUOTA"] : [],
  ];
  return tableLines([["NAME", "ADDRESSES", ...more, "PUBLIC KEY", "FILE"], ...rows]);
}

/** When the key that a client has ends at the latest; null for not before it uses the next one. */
export function keyEndOf({ nextKey }: PeerConfig): string | null {
  const since = nextKey?.since ?? null;
  return since === null ? null : formatExpires(since);
}

/** The client's file, if it is kept. */
export function fileOf(
  configPath: string,
  { name }: { readonly name: string | null },
): string | null {
  if (name === null || readClientFile(configPath, name) === null) return null;
  return clientFilePath(configPath, name);
}

/** What of a peer's networks the gateway carries. */
export function networksOf({ interface: { addresses6 } }: Config, peer: PeerConfig): string[] {
  return [...peer.allowedIps.map(formatCidr), ...addresses6.length > 0 ? peer.allowedIps6 : []];
}
