/**
 * UAPI text: WireGuard's configuration protocol for implementations in user space
 * (https://www.wireguard.com/xplatform/), which `wg` speaks: what a request asks for, and how an answer is written.
 * Lines of `key=value`, keys of peers in hexadecimal.
 */
import { formatCidr, type Ipv4Prefix, parseCidr, prefixMask } from "../wire/ipv4_text.ts";
import { formatSocketAddress, parseAddress } from "../wire/host_address.ts";
import { formatCidr6, type Ipv6PrefixText, network6, parseCidr6 } from "../wire/ipv6_prefix.ts";
import type { SocketAddress } from "../wire/socket_address.ts";
import { KEY_LENGTH } from "./values/key_text.ts";

/** Error numbers of Linux, as answers have them. */
export const UapiErrno = {
  ok: 0,
  /** EIO */
  failed: 5,
  /** EINVAL */
  invalid: 22,
  /** EOPNOTSUPP */
  notSupported: 95,
} as const;
export type UapiErrno = (typeof UapiErrno)[keyof typeof UapiErrno];

const MAX_PORT = 65535;
const MAX_KEEPALIVE = 65535;
const MAX_MARK = 0xffff_ffff;

/** A request that cannot be read, or asks for what cannot be. */
export class UapiError extends Error {
  override readonly name = "UapiError";
  readonly errno: UapiErrno;

  constructor(message: string, errno: UapiErrno = UapiErrno.invalid) {
    super(message);
    this.errno = errno;
  }
}

export type UapiRequest =
  | { readonly kind: "get" }
  | { readonly kind: "set"; readonly change: UapiDeviceChange };

/** What is to be set; what is left out stays as it is. */
export interface UapiDeviceChange {
  /** 32 bytes, all of them 0 for none. */
  readonly privateKey?: Uint8Array;
  readonly listenPort?: number;
  readonly fwMark?: number;
  /** Whether peers that are not among these go. */
  readonly replacePeers: boolean;
  /** In order; a key may occur more than once. */
  readonly peers: readonly UapiPeerChange[];
}

export interface UapiPeerChange {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly remove: boolean;
  /** Nothing is done where there is no such peer. */
  readonly updateOnly: boolean;
  /** 32 bytes; null for none. */
  readonly presharedKey?: Uint8Array | null;
  readonly endpoint?: SocketAddress;
  /** Seconds; 0 is off. */
  readonly persistentKeepalive?: number;
  /** Whether the networks it has go, before those below come. */
  readonly replaceAllowedIps: boolean;
  /** What comes and goes, in order. */
  readonly allowedIps: readonly UapiAllowedIp[];
  /** As they came: endpoints with a zone beside others. */
  readonly ignoredIps: readonly string[];
}

export interface UapiAllowedIp {
  /** Host bits cleared; of IPv6 as text. */
  readonly network: Ipv4Prefix | Ipv6PrefixText;
  readonly remove: boolean;
}

/** What a device says of itself. */
export interface UapiDevice {
  /** 32 bytes. Whoever may ask has the right to know it: `wg showconf` makes a configuration of it. */
  readonly privateKey: Uint8Array;
  readonly listenPort: number;
  /** 0 for none. */
  readonly fwMark: number;
  readonly peers: readonly UapiPeer[];
}

export interface UapiPeer {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array | null;
  readonly endpoint: SocketAddress | null;
  /** Unix ms; 0 for never. */
  readonly lastHandshake: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Seconds; 0 is off. */
  readonly persistentKeepalive: number;
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6: readonly Ipv6PrefixText[];
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
type OpenPeer = Mutable<Omit<UapiPeerChange, "allowedIps" | "ignoredIps">> & {
  /** An endpoint with an IPv6 address and a zone, as it came. */
  zonedEndpoint?: string;
  readonly allowedIps: UapiAllowedIp[];
  readonly ignoredIps: string[];
};

/**
 * Reads a request.
 *
 * @param lines without the empty one that ends it
 * @throws {UapiError}
 */
export function parseUapiRequest(lines: readonly string[]): UapiRequest {
  const reader = new UapiRequestReader();
  for (const line of lines) reader.add(line);
  return reader.end();
}

/** Reads a request line by line, as they come: one may be about thousands of peers. */
export class UapiRequestReader {
  #operation = "";
  #lines = 0;
  readonly #peers: OpenPeer[] = [];
  readonly #change: Mutable<UapiDeviceChange> = { replacePeers: false, peers: this.#peers };

  /** Whether there has been no line yet. */
  get isEmpty(): boolean {
    return this.#lines === 0;
  }

  /**
   * Takes the next line, which is not empty.
   *
   * @throws {UapiError}
   */
  add(line: string): void {
    if (this.#lines++ === 0) {
      if (line !== "get=1" && line !== "set=1") {
        throw new UapiError("a request begins with get=1 or set=1");
      }
      this.#operation = line;
      return;
    }
    if (this.#operation === "get=1") throw new UapiError("get=1 must be the only line");
    const at = line.indexOf("=");
    if (at < 0) throw new UapiError("a line is KEY=VALUE");
    const [key, value] = [line.slice(0, at), line.slice(at + 1)];
    const peer = this.#peers.at(-1);
    if (key === "public_key") this.#peers.push(newPeer(parseKey(value)));
    else if (peer === undefined) setOfDevice(this.#change, key, value);
    else setOfPeer(peer, key, value);
  }

  /**
   * What all lines ask for together.
   *
   * @throws {UapiError} where there was none
   */
  end(): UapiRequest {
    if (this.isEmpty) throw new UapiError("a request begins with get=1 or set=1");
    if (this.#operation === "get=1") return { kind: "get" };
    for (const peer of this.#peers) takeZonedEndpoint(peer);
    return { kind: "set", change: this.#change };
  }
}

function newPeer(publicKey: Uint8Array): OpenPeer {
  return {
    publicKey,
    remove: false,
    updateOnly: false,
    replaceAllowedIps: false,
    allowedIps: [],
    ignoredIps: [],
  };
}

function setOfDevice(change: Mutable<UapiDeviceChange>, key: string, value: string): void {
  switch (key) {
    case "private_key":
      change.privateKey = parseKey(value);
      break;
    case "listen_port":
      change.listenPort = parseNumber(key, value, MAX_PORT);
      break;
    case "fwmark":
      // Empty takes it away, as 0 does.
      change.fwMark = value === "" ? 0 : parseNumber(key, value, MAX_MARK);
      break;
    case "replace_peers":
      requireTrue(key, value);
      change.replacePeers = true;
      break;
    default:
      throw new UapiError(`${JSON.stringify(key.slice(0, 40))} is not a key of a device`);
  }
}

function setOfPeer(peer: OpenPeer, key: string, value: string): void {
  switch (key) {
    case "remove":
      requireTrue(key, value);
      peer.remove = true;
      break;
    case "update_only":
      requireTrue(key, value);
      peer.updateOnly = true;
      break;
    case "preshared_key": {
      const presharedKey = parseKey(value);
      peer.presharedKey = presharedKey.every((byte) => byte === 0) ? null : presharedKey;
      break;
    }
    case "endpoint":
      if (/^\[[0-9a-f:.]{2,45}%[^\]]{1,15}\]:\d{1,5}$/i.test(value)) peer.zonedEndpoint = value;
      else peer.endpoint = parseEndpoint(value);
      break;
    case "persistent_keepalive_interval":
      peer.persistentKeepalive = parseNumber(key, value, MAX_KEEPALIVE);
      break;
    case "replace_allowed_ips":
      requireTrue(key, value);
      peer.replaceAllowedIps = true;
      break;
    case "allowed_ip":
      addAllowedIp(peer, value);
      break;
    case "protocol_version":
      if (value !== "1") throw new UapiError("protocol_version is 1", UapiErrno.notSupported);
      break;
    default:
      throw new UapiError(`${JSON.stringify(key.slice(0, 40))} is not a key of a peer`);
  }
}

/**
 * One among all that a file says of the peer, as `wg syncconf` sends it, or as a name had it that has IPv4 addresses as
 * well, is passed over, as in a file of ours: the rest is to come into effect. One that is asked for by itself cannot
 * be had.
 */
function takeZonedEndpoint({ zonedEndpoint, replaceAllowedIps, ignoredIps }: OpenPeer): void {
  if (zonedEndpoint === undefined) return;
  if (!replaceAllowedIps) {
    throw new UapiError(
      `${zonedEndpoint}: an endpoint with a zone is not supported: give an address without one`,
      UapiErrno.notSupported,
    );
  }
  ignoredIps.push(zonedEndpoint);
}

function addAllowedIp(peer: OpenPeer, value: string): void {
  // A minus takes a network away (Linux 6.16 and what follows it).
  const remove = value.startsWith("-");
  const text = remove ? value.slice(1) : value;
  if (text.includes(":")) {
    const ipv6 = text.includes("/") ? parseCidr6(text) : null;
    if (ipv6 === null) throw new UapiError("allowed_ip is a network");
    peer.allowedIps.push({ network: network6(formatCidr6(ipv6)), remove });
    return;
  }
  const prefix = text.includes("/") ? parseCidr(text) : null;
  if (prefix === null) throw new UapiError("allowed_ip is ADDRESS/LENGTH");
  const { address, prefixLength } = prefix;
  const network = { address: (address & prefixMask(prefixLength)) >>> 0, prefixLength };
  peer.allowedIps.push({ network, remove });
}

function parseKey(value: string): Uint8Array {
  if (!/^[0-9a-f]*$/i.test(value) || value.length !== 2 * KEY_LENGTH) {
    throw new UapiError(`a key is ${2 * KEY_LENGTH} hexadecimal digits`);
  }
  return Uint8Array.fromHex(value);
}

function parseNumber(key: string, value: string, most: number): number {
  const number = /^\d{1,10}$/.test(value) ? Number(value) : NaN;
  if (!(number <= most)) throw new UapiError(`${key} is a number from 0 to ${most}`);
  return number;
}

function requireTrue(key: string, value: string): void {
  if (value !== "true") throw new UapiError(`${key} has only the value true`);
}

function parseEndpoint(value: string): SocketAddress {
  const [, ipv4 = "", ipv6 = "", portText = ""] = /^(?:([\d.]+)|\[([^\]]+)\]):(\d+)$/.exec(value) ??
    [];
  const address = parseAddress(ipv4 || ipv6);
  if (address === null) throw new UapiError("endpoint is ADDRESS:PORT");
  const port = parseNumber("the port of endpoint", portText, MAX_PORT);
  if (port === 0) throw new UapiError("the port of endpoint is not 0");
  return { address, port };
}

/** The answer to `get=1`. */
export function formatUapiDevice(device: UapiDevice): string {
  return [...uapiDeviceTexts(device)].join("");
}

/** The same by the peer. */
export function* uapiDeviceTexts(
  { privateKey, listenPort, fwMark, peers }: UapiDevice,
): Generator<string> {
  yield `private_key=${privateKey.toHex()}\nlisten_port=${listenPort}\n`;
  if (fwMark !== 0) yield `fwmark=${fwMark}\n`;
  for (const peer of peers) yield `${peerLines(peer).join("\n")}\n`;
  yield formatUapiResult(UapiErrno.ok);
}

function peerLines(peer: UapiPeer): string[] {
  const { endpoint, lastHandshake } = peer;
  return [
    `public_key=${peer.publicKey.toHex()}`,
    `preshared_key=${(peer.presharedKey ?? new Uint8Array(KEY_LENGTH)).toHex()}`,
    "protocol_version=1",
    ...(endpoint === null ? [] : [`endpoint=${formatSocketAddress(endpoint)}`]),
    `last_handshake_time_sec=${Math.floor(lastHandshake / 1000)}`,
    `last_handshake_time_nsec=${Math.floor(lastHandshake % 1000) * 1_000_000}`,
    `tx_bytes=${peer.sentBytes}`,
    `rx_bytes=${peer.receivedBytes}`,
    `persistent_keepalive_interval=${peer.persistentKeepalive}`,
    ...peer.allowedIps.map((network) => `allowed_ip=${formatCidr(network)}`),
    ...peer.allowedIps6.map((network) => `allowed_ip=${network}`),
  ];
}

/** The end of every answer. Errors are negative, as wireguard-go has them and `wg` expects. */
export function formatUapiResult(errno: UapiErrno): string {
  return `errno=${errno === 0 ? 0 : -errno}\n\n`;
}
