/** View of a running instance for a person: a few lines about it, and a table of its peers. */
import { format as formatBytes } from "@std/fmt/bytes.js";
import { sparkline } from "../../cli/sparkline.ts";
import { tableLines } from "../../cli/table.ts";
import type { Presence } from "../../core/wireguard/liveness/presence.ts";
import { clockError, type VirtualAddressStatus } from "../../control/fleet/store_status.ts";
import type { PeerStatus, Status } from "../../control/status.ts";
import { serviceLines } from "../service_table.ts";
import type { PeerRate } from "./rates.ts";

/** SGR codes (ECMA-48). */
const BOLD = 1;
const RED = 31;
const GREEN = 32;
const YELLOW = 33;
const GREY = 90;

const SPARKLINE_WIDTH = 20;
/** Characters of a public key that stand for a peer without a name. */
const KEY_WIDTH = 12;

const SHADES: Readonly<Record<Presence, number>> = {
  never: GREY,
  up: GREEN,
  silent: YELLOW,
  down: RED,
};

export interface ViewOptions {
  readonly colour: boolean;
  /** What passes with each peer, by its public key; none where it is not known. */
  readonly rates: ReadonlyMap<string, PeerRate>;
  /** Whether to show how the rates went. */
  readonly sparklines: boolean;
}

/** An instance as lines of text. */
export function statusLines(status: Status, options: ViewOptions): string[] {
  const { nat, drops, netns, role, listenPort, addresses, since, time, pid } = status;
  const paint = painter(options.colour);
  const name = paint(BOLD, status.interface);
  const place = netns === null ? "" : `in ${netns}, `;
  if (status.state === "blocked") {
    return [
      `${name}  ${place}${
        paint(RED, "blocked")
      } by the kill switch of process ${pid}, which has ended`,
      "  only loopback and DHCP can leave this host: start the client again, or remove the block with " +
      `\`${netns === null ? "" : `ip netns exec ${netns} `}vpn cleanup\``,
    ];
  }
  const up = age(seconds(since, time));
  return [
    `${name}  ${place}${role} on UDP port ${listenPort}, ${
      addresses.join(", ")
    }, up ${up}, process ${pid}`,
    ...(status.state === "degraded"
      ? [`  ${paint(RED, "degraded")}: without ${status.missing.join(", ")}`]
      : []),
    ...storeLines(status, options.colour),
    `  ${meansText(status)}`,
    ...workerLines(status),
    ...countLines("send errors", nat.sendErrors),
    ...countLines("dropped", drops),
    "",
    ...peerTable(status, options).map((line) => `  ${line}`),
    ...status.peers.flatMap((peer) => sharedKeyLines(peer, options.colour)),
    ...status.services.length === 0 ? [] : [""],
    ...serviceLines(status.services).map((line) => `  ${line}`),
  ];
}

/** How a fleet's gateway reaches the store of its peers. */
function storeLines({ store, time }: Pick<Status, "store" | "time">, colour: boolean): string[] {
  if (store === null) return [];
  const paint = painter(colour);
  const {
    connected,
    server,
    replicas,
    revision,
    lastContact,
    problem,
    leftOut,
    admitsNew,
    virtualAddress,
  } = store;
  const since = lastContact === null
    ? "never reached"
    : `last reached ${lastContact} (${age(seconds(lastContact, time))} ago)`;
  return [
    connected
      ? `  store ${server}, on ${counted(replicas ?? 0, "server")}, change ${revision}`
      : `  ${
        paint(RED, "store not connected")
      }: ${problem}: ${since}: peers stay as they are, and cannot be changed`,
    ...admitsNew
      ? []
      : [`  ${paint(RED, "no new sessions")}: the store has been away for longer than StoreGrace`],
    ...virtualAddress === null ? [] : virtualAddressLines(virtualAddress, paint),
    ...leftOut === 0 ? [] : [
      `  ${
        leftOut === 1 ? "1 entry" : `${leftOut} entries`
      } of the store cannot be used: the log says why`,
    ],
  ];
}

/** Who of a fleet's gateways has the address, and who of them is heard. */
function virtualAddressLines(
  { address, holder, isHere, isDraining, gateways }: VirtualAddressStatus,
  paint: ReturnType<typeof painter>,
): string[] {
  const place = isHere
    ? "here"
    : holder === null
    ? paint(RED, "at no gateway")
    : `at ${gateways.find(({ number }) => number === holder)?.name ?? `gateway ${holder}`}`;
  const others = gateways.filter(({ isSelf }) => !isSelf)
    .map((gateway) => {
      const error = clockError(gateway);
      return [
        `${gateway.name} ${gateway.isUp ? "up" : paint(RED, "down")}`,
        ...gateway.isDraining ? ["drained"] : [],
        ...error === null ? [] : [paint(RED, `clock ${error}`)],
      ].join(", ");
    });
  return [
    `  virtual address ${address} ${place}${isDraining ? ", drained" : ""}` +
    `; other gateways: ${others.join("; ") || "none"}`,
  ];
}

/** A client's file that was copied to a second device is found by nothing else. */
function sharedKeyLines(peer: PeerStatus, colour: boolean): string[] {
  if (peer.otherEndpoint === null) return [];
  return [
    `  ${painter(colour)(RED, "key used twice")}: ${nameOf(peer)} is at ${peer.endpoint ?? "-"} ` +
    `and at ${peer.otherEndpoint}, and each interrupts the other: give each device its own key`,
  ];
}

function meansText({ aead, segmentation, threads, nat: { mappings, sessions } }: Status): string {
  return [
    `cipher ${aead}`,
    ...(threads ? [`${counted(threads.count, "thread")} (${threads.decidedBy})`] : []),
    `segmentation offload ${segmentation ? "on" : "off"}`,
    ...(mappings + sessions === 0
      ? []
      : [`NAT ${counted(mappings, "mapping")} ${counted(sessions, "session")}`]),
  ].join(", ");
}

/** What each of several packet workers has done: one that does all is seen here. */
function workerLines({ workers, oneThread, peers }: Status): string[] {
  if (workers.length === 0) {
    return oneThread === null ? [] : [`  one thread moves packets: ${oneThread}`];
  }
  const each = workers.map(({ receivedBytes, sentBytes }, i) =>
    `${i + 1} in ${formatBytes(receivedBytes)} out ${formatBytes(sentBytes)}`
  );
  const hasFakeTcp = peers.some(({ transport }) => transport === "faketcp");
  return [
    `  packet workers: ${each.join(", ")}`,
    ...(oneThread === null ? [] : [`  the first of them translates for all: ${oneThread}`]),
    ...(hasFakeTcp
      ? ["  one thread has fake TCP's segments: each of its connections has one sequence"]
      : []),
  ];
}

function peerTable(status: Status, options: ViewOptions): string[] {
  if (status.peers.length === 0) return ["no peers"];
  const isLimited = status.peers.some(({ rateLimit }) => rateLimit !== null);
  const isBounded = status.peers.some(({ quota }) => quota !== null);
  const isLasting = status.peers.every(({ expires }) => expires === null);
  // Of peers that are not ours it never is.
  const isMeasured = status.peers.some(({ roundTrip }) => roundTrip !== null);
  const headings = [
    ...["PEER", "ADDRESS", "ENDPOINT", "TRANSPORT", "HANDSHAKE"],
    ...(isMeasured ? ["RTT"] : []),
    ...["RECEIVED", "SENT", "IN", "OUT"],
    ...(isLimited ? ["LIMIT"] : []),
    ...(isBounded ? ["QUOTA"] : []),
    ...(isLasting ? [] : ["EXPIRES"]),
    ...(options.sparklines ? [`LAST ${SPARKLINE_WIDTH} SAMPLES`] : []),
  ];
  const rows = status.peers.map((peer) =>
    peerCells(peer, { status, isLimited, isBounded, isLasting, isMeasured, ...options })
  );
  return tableLines([headings, ...rows]);
}

function peerCells(
  peer: PeerStatus,
  { status, isLimited, isBounded, isLasting, isMeasured, rates, sparklines, colour }:
    & ViewOptions
    & {
      readonly status: Status;
      readonly isLimited: boolean;
      readonly isBounded: boolean;
      readonly isLasting: boolean;
      readonly isMeasured: boolean;
    },
): string[] {
  const paint = painter(colour);
  const rate = rates.get(peer.publicKey);
  const [address = "-", ...more] = peer.allowedIps;
  return [
    nameOf(peer),
    `${address.replace(/\/32$/, "")}${more.length > 0 ? ` +${more.length}` : ""}`,
    peer.endpoint ?? "-",
    peer.endpoint === null ? "-" : peer.transport === "faketcp" ? "fake TCP" : "UDP",
    peer.admission === "admitted"
      ? paint(SHADES[peer.presence], handshakeText(peer, status.time))
      : paint(RED, peer.admission),
    ...(isMeasured ? [roundTripText(peer)] : []),
    bytes(peer.received),
    bytes(peer.sent),
    rateText(rate?.received),
    rateText(rate?.sent),
    ...(isLimited ? [peer.rateLimit === null ? "-" : bits(peer.rateLimit)] : []),
    ...(isBounded ? [paint(isUsedUp(peer) ? RED : 0, quotaText(peer))] : []),
    ...(isLasting ? [] : [expiryText(peer, status.time)]),
    ...(sparklines ? [paint(GREEN, sparkline(rate?.history ?? [], SPARKLINE_WIDTH))] : []),
  ];
}

function nameOf({ name, publicKey }: PeerStatus): string {
  return name ?? `${publicKey.slice(0, KEY_WIDTH)}…`;
}

/** When a peer that is there shook hands, or for how long it has been silent. */
function handshakeText(
  { presence, silence, latestHandshake }: PeerStatus,
  time: string,
): string {
  if (presence === "never" || silence === null) return "never seen";
  if (presence !== "up") return `last seen ${age(silence)} ago`;
  return latestHandshake === null ? "in progress" : `${age(seconds(latestHandshake, time))} ago`;
}

function isUsedUp({ quota }: PeerStatus): boolean {
  return quota !== null && quota.used >= quota.bytes;
}

/** As in `1.2 GB of 100 GB/month`, in powers of 1,000, as the configuration has it. */
function quotaText({ quota }: PeerStatus): string {
  if (quota === null) return "-";
  const text = (count: number) => formatBytes(count, { maximumFractionDigits: 1 });
  return `${text(quota.used)} of ${text(quota.bytes)}/${quota.period}`;
}

function expiryText({ expires }: PeerStatus, time: string): string {
  if (expires === null) return "never";
  const left = seconds(time, expires);
  return left > 0 ? `in ${age(left)}` : `${age(seconds(expires, time))} ago`;
}

function roundTripText({ presence, roundTrip }: PeerStatus): string {
  if (roundTrip === null || presence !== "up") return "-";
  return `${(roundTrip * 1000).toPrecision(roundTrip < 1 ? 2 : 4)} ms`;
}

function countLines(title: string, counts: Readonly<Record<string, number>>): string[] {
  const named = Object.entries(counts).sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name.replaceAll("_", " ")} ${count.toLocaleString("en")}`);
  return named.length === 0 ? [] : [`  ${title}: ${named.join(", ")}`];
}

function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function seconds(from: string, to: string): number {
  return Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
}

/** As in `3 d 4 h`, the two greatest units. */
export function age(total: number): string {
  const units = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]] as const;
  let left = Math.floor(total);
  const parts = units.map(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return { unit, count };
  });
  const first = parts.findIndex(({ count }) => count > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(({ count }) => count > 0)
    .map(({ unit, count }) => `${count} ${unit}`).join(" ");
}

function bytes(count: number): string {
  return formatBytes(count, { binary: true, maximumFractionDigits: 1 });
}

function rateText(bytesPerSecond: number | undefined): string {
  return bytesPerSecond === undefined ? "-" : bits(bytesPerSecond * 8);
}

/** Networks are measured in bits. */
function bits(perSecond: number): string {
  const text = formatBytes(Math.round(perSecond), { bits: true, maximumFractionDigits: 1 });
  return `${text.replace(/ b$/, " bit")}/s`;
}

function painter(colour: boolean): (code: number, text: string) => string {
  return (code, text) => colour && code !== 0 ? `\x1b[${code}m${text}\x1b[0m` : text;
}
