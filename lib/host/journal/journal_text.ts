/**
 * The text of a journal: a line of JSON for its owner, one for each change. What is read may have been cut off,
 * damaged, or written by another version of this program: a line that is not of the expected shape counts as none, and
 * hinders no other.
 */
import { isIP } from "node:net";
import type { HostChange } from "./host_change.ts";
import type { NetworkNamespace } from "./network_namespace.ts";
import type { ProcessIdentity } from "../../process/process_identity.ts";

/** The first line of a journal: the process, the network namespace that it was in, and its tunnel. */
export interface JournalOwner extends ProcessIdentity, NetworkNamespace {
  readonly interfaceName: string;
  /** What `--netns` named: the process was started elsewhere, and its caller cleans up from there. */
  readonly netns?: string;
}

/** A change as it stands in a journal. */
export interface JournalEntry {
  readonly change: HostChange;
  /** Of its first byte in the file. */
  readonly offset: number;
}

/** What a journal says. */
export interface JournalText {
  readonly owner: JournalOwner;
  /** In the order in which they were made, without those that are struck out. */
  readonly entries: readonly JournalEntry[];
}

/** Whether a value from JSON has the shape that is wanted. */
type Shape = (value: unknown) => boolean;

const NEWLINE = 0x0a;
const UINT32 = 2 ** 32 - 1;
/** AF_INET and AF_INET6. */
const FAMILIES: readonly unknown[] = [2, 10];

const text: Shape = (value) => typeof value === "string";
const flag: Shape = (value) => typeof value === "boolean";
const absent: Shape = (value) => value === undefined;
const nothing: Shape = (value) => value === null;
const path: Shape = (value) =>
  typeof value === "string" && value.startsWith("/") && !value.includes("\0");
const uint = (most: number): Shape => (value) =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
const either = (...shapes: readonly Shape[]): Shape => (value) =>
  shapes.some((shape) => shape(value));
const list = (shape: Shape): Shape => (value) => Array.isArray(value) && value.every(shape);
const object = (members: Readonly<Record<string, Shape>>): Shape => (value) =>
  isObject(value) && Object.entries(members).every(([name, shape]) => shape(value[name]));

const ipv6: Shape = (value) => typeof value === "string" && isIP(value) === 6;
const port = uint(65_535);
const ranges = list(object({ first: port, last: port }));
const table = object({ family: text, name: text });
const mark = object({ value: uint(UINT32), mask: either(absent, uint(UINT32)) });

const OWNER = object({
  pid: uint(2 ** 31),
  startTime: text,
  pidNamespace: either(absent, text),
  namespace: text,
  cookie: either(absent, text),
  interfaceName: text,
  netns: either(absent, text),
});

/** What each kind has besides its name. The type says that none is left out. */
const CHANGES: Readonly<Record<HostChange["kind"], Shape>> = {
  "rule": object({
    rule: object({
      family: (value) => FAMILIES.includes(value),
      table: uint(UINT32),
      priority: either(absent, uint(UINT32)),
      mark: either(absent, mark),
      inverted: either(absent, flag),
      suppressPrefixLength: either(absent, uint(128)),
      protocol: either(absent, uint(255)),
    }),
  }),
  "route": object({ destination: isPrefix, table: uint(UINT32), type: uint(255) }),
  "sysctl": object({
    path,
    value: text,
    before: text,
    yields: either(absent, text),
    links: either(
      absent,
      list(object({ name: text, index: uint(2 ** 31), value: text, forwards: flag })),
    ),
  }),
  "nftables-table": object({ table }),
  "kill-switch": object({
    table,
    server: either(nothing, object({ name: text, address: either(uint(UINT32), ipv6) })),
  }),
  "reserved-ports": object({ ranges }),
  "nat-ports": object({ device: text, tcp: ranges, udp: ranges }),
  "nat-ports6": object({ device: text, tcp: ranges, udp: ranges }),
  "proxied-neighbours": object({ device: text, addresses: list(ipv6) }),
  "hook": object({ commands: list(object({ command: text, place: text })) }),
  "directory": object({ path }),
  "socket": object({ path, pid: uint(2 ** 31) }),
  "resolv-conf": object({
    name: either(absent, path),
    path,
    directory: text,
    owner: text,
    text,
    inPlace: flag,
  }),
  "resolvconf": object({ record: text, text }),
  "resolvectl": object({
    interfaceName: text,
    index: uint(2 ** 31),
    servers: list(text),
    domains: list(text),
  }),
};

/** What the bytes of a journal say; null where the first line does not tell whose it is. */
export function parseJournal(bytes: Uint8Array): JournalText | null {
  const [first, ...rest] = linesOf(bytes);
  const owner = first === undefined ? null : parseLine(first.text);
  if (!OWNER(owner)) return null;
  const entries = rest.flatMap(({ text, offset }) => {
    const change = parseLine(text);
    return isHostChange(change) ? [{ change, offset }] : [];
  });
  return { owner: owner as JournalOwner, entries };
}

function isHostChange(value: unknown): value is HostChange {
  if (!isObject(value)) return false;
  const { kind } = value;
  return typeof kind === "string" && Object.hasOwn(CHANGES, kind) &&
    CHANGES[kind as HostChange["kind"]](value);
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As in `10.0.0.0/8`. */
function isPrefix(value: unknown): boolean {
  const [, address = "", length] = /^([^/]+)\/(\d{1,3})$/.exec(String(value)) ?? [];
  const version = isIP(address);
  return typeof value === "string" && version !== 0 && Number(length) <= (version === 4 ? 32 : 128);
}

/** Whole lines. The last one may be cut off: the process died before it made that change. */
function linesOf(bytes: Uint8Array): { readonly text: string; readonly offset: number }[] {
  const decoder = new TextDecoder();
  const lines = [];
  for (let offset = 0;;) {
    const end = bytes.indexOf(NEWLINE, offset);
    if (end < 0) return lines;
    lines.push({ text: decoder.decode(bytes.subarray(offset, end)), offset });
    offset = end + 1;
  }
}

/** What we wrote into a line ourselves, or null where it has been struck out, or damaged, since. */
function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
