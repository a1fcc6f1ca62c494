/** Gateway entries: what the store has of each gateway of a fleet, by its number: how the others reach it. */
import { decodeKey } from "../config/values/key_text.ts";
import { parseIpv4 } from "../wire/ipv4_text.ts";
import { formatSocketAddress } from "../wire/host_address.ts";
import type { SocketAddress } from "../wire/socket_address.ts";

const PREFIX = "gateway.";
/** The most gateways of a fleet: a number is a byte. */
export const MAX_GATEWAYS = 256;
const MAX_SIZE = 1024;
const MAX_NAME = 64;

export interface GatewayEntry {
  /** Of its own key, by which the gateways know each other, in base64. */
  readonly publicKey: string;
  /** Where it listens for the others. */
  readonly endpoint: SocketAddress;
  /** For people. */
  readonly name: string;
  /** Whether it is to take nothing that another gateway can have. */
  readonly isDraining: boolean;
}

export function gatewayKey(number: number): string {
  return `${PREFIX}${number}`;
}

/** The number of the gateway that a key is of; null for another key. */
export function gatewayOfKey(key: string): number | null {
  const [, digits] = /^gateway\.(0|[1-9]\d{0,2})$/.exec(key) ?? [];
  const number = Number(digits);
  return digits === undefined || number >= MAX_GATEWAYS ? null : number;
}

export function gatewayBytes(
  { publicKey, endpoint, name, isDraining }: GatewayEntry,
): Uint8Array<ArrayBuffer> {
  const entry = { publicKey, endpoint: formatSocketAddress(endpoint), name, isDraining };
  return new TextEncoder().encode(JSON.stringify(entry));
}

/** What an entry's bytes say; null where they are none. Never throws. */
export function readGateway(bytes: Uint8Array): GatewayEntry | null {
  if (bytes.length > MAX_SIZE) return null;
  let value: Readonly<Record<string, unknown>> | null;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return null;
  }
  const { publicKey, endpoint, name, isDraining } = value ?? {};
  if (typeof publicKey !== "string" || decodeKey(publicKey) === null) return null;
  if (typeof endpoint !== "string" || typeof name !== "string") return null;
  const [, address = "", port] = /^([\d.]{7,15}):(\d{1,5})$/.exec(endpoint) ?? [];
  const ipv4 = parseIpv4(address);
  if (ipv4 === null || Number(port) < 1 || Number(port) > 65_535) return null;
  // It goes to logs and terminals.
  const shown = name.replace(/[^\w.-]/g, "?").slice(0, MAX_NAME);
  return {
    publicKey,
    endpoint: { address: ipv4, port: Number(port) },
    name: shown,
    isDraining: isDraining === true,
  };
}
