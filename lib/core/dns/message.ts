/**
 * DNS message: what a forwarding proxy needs to know of one (RFC 1035 section 4): its question, its size, its times to
 * live.
 *
 * ```text
 *  0 id 2   2 flags 2   4 questions 2   6 answers 2   8 authorities 2   10 additional 2   12 sections
 * ```
 *
 * Everything else is passed on as it is, so that record types unknown here work as well. A message that cannot be
 * followed is `null`, never an exception.
 */
import { type HostAddress, IPV6_SIZE, ipv6At } from "../wire/host_address.ts";

export const HEADER_SIZE = 12;
/** The most bytes of a UDP message without EDNS (RFC 1035 section 4.2.1). */
export const PLAIN_UDP_SIZE = 512;

export const FLAG_RESPONSE = 0x8000;
/** The answer is of a server that the name is the concern of. */
export const FLAG_AUTHORITATIVE = 0x0400;
export const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const FLAG_AUTHENTIC_DATA = 0x0020;
const FLAG_CHECKING_DISABLED = 0x0010;
/** What, in a query, an answer depends on: AD asks for AD (RFC 6840 section 5.7). */
export const RELEVANT_FLAGS = FLAG_RECURSION_DESIRED | FLAG_AUTHENTIC_DATA | FLAG_CHECKING_DISABLED;
export const OPCODE_MASK = 0x7800;
const RCODE_MASK = 0x000f;

export const RCODE_NO_ERROR = 0;
export const RCODE_FORMAT_ERROR = 1;
export const RCODE_SERVER_FAILURE = 2;
export const RCODE_NAME_ERROR = 3;
export const RCODE_NOT_IMPLEMENTED = 4;
const RCODE_REFUSED = 5;
/** What says nothing of the name, only of the server: another one may know. */
const FAILURES: ReadonlySet<number> = new Set([
  RCODE_FORMAT_ERROR,
  RCODE_SERVER_FAILURE,
  RCODE_NOT_IMPLEMENTED,
  RCODE_REFUSED,
]);

const CLASS_IN = 1;
/** What fits every path in one piece (dnsflagday.net/2020). */
const OWN_UDP_SIZE = 1232;
const TYPE_A = 1;
const TYPE_AAAA = 28;
const TYPE_SOA = 6;
const TYPE_OPT = 41;
const MAX_NAME_SIZE = 255;
const FLAG_DNSSEC_OK = 0x8000;

/**
 * Bytes of the longest query that is looked at: a question and an OPT record are far shorter. In one of 64 KiB stand
 * thousands of records, each of which costs time before its sender's share is known to be worth it.
 */
export const MAX_QUERY_SIZE = 4_096;

/** A message taken apart as far as the proxy needs it. */
export interface Parsed {
  readonly id: number;
  readonly flags: number;
  /** The one question: name in lower case, type and class, as bytes in Latin-1. Two askers of the same get the same. */
  readonly question: string;
  /** Where the question section ends. */
  readonly questionEnd: number;
  /** Whether it has an OPT record (RFC 6891): a client that sends none must get none. */
  readonly hasExtension: boolean;
  /** The UDP size that the sender takes (RFC 6891 section 6.2.3), 512 without EDNS. */
  readonly udpSize: number;
  readonly dnssecOk: boolean;
  /** Seconds for which an answer may be kept; 0 for one that may not. */
  readonly timeToLive: number;
  /** Offsets of the times to live of all records. */
  readonly timeToLiveOffsets: readonly number[];
}

/** A resource record's fields behind its name. */
interface RecordFields {
  readonly section: "answer" | "authority" | "additional";
  readonly type: number;
  readonly recordClass: number;
  readonly timeToLiveOffset: number;
  readonly data: number;
  readonly end: number;
}

/** Takes a query or an answer with exactly one question apart; null for anything else. */
export function parse(message: Uint8Array): Parsed | null {
  if (message.length < HEADER_SIZE) return null;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  if (view.getUint16(4) !== 1) return null;
  // Nothing stands before the first name that it could point to but the header.
  const nameEnd = skipName(message, HEADER_SIZE, false);
  if (nameEnd < 0 || nameEnd + 4 > message.length) return null;
  const questionEnd = nameEnd + 4;
  const records = readRecords(message, view, questionEnd);
  if (records === null) return null;
  const option = records.find(({ type }) => type === TYPE_OPT);
  const flags = view.getUint16(2);
  return {
    id: view.getUint16(0),
    flags,
    question: questionKey(message, questionEnd),
    questionEnd,
    hasExtension: option !== undefined,
    udpSize: Math.max(PLAIN_UDP_SIZE, option?.recordClass ?? 0),
    dnssecOk: option !== undefined &&
      (view.getUint16(option.timeToLiveOffset + 2) & FLAG_DNSSEC_OK) !== 0,
    timeToLive: timeToLiveOf(view, records, flags & RCODE_MASK),
    // What stands there in an OPT record are flags.
    timeToLiveOffsets: records.filter(({ type }) => type !== TYPE_OPT)
      .map(({ timeToLiveOffset }) => timeToLiveOffset),
  };
}

/** The addresses in the answers of a message; none where it cannot be followed. */
export function addressesIn(message: Uint8Array, { questionEnd }: Parsed): HostAddress[] {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  return (readRecords(message, view, questionEnd) ?? [])
    .flatMap(({ section, type, data, end }): HostAddress[] => {
      if (section !== "answer") return [];
      if (type === TYPE_A && end - data === 4) return [view.getUint32(data)];
      return type === TYPE_AAAA && end - data === IPV6_SIZE ? [ipv6At(view, data)] : [];
    });
}

/** Whether a whole message says that there is no such name. */
export function isNameError(message: Uint8Array): boolean {
  return message.length >= HEADER_SIZE && (message[3]! & RCODE_MASK) === RCODE_NAME_ERROR;
}

/** The response code of a message's flags. */
export function responseCode(flags: number): number {
  return flags & RCODE_MASK;
}

/** Whether a server says by this code that it cannot, or will not, answer. */
export function cannotHelp(code: number): boolean {
  return FAILURES.has(code);
}

/** Whether this is a standard query, which alone is forwarded. */
export function isQuery(flags: number): boolean {
  return (flags & (FLAG_RESPONSE | OPCODE_MASK)) === 0;
}

/** What, besides the question, an answer depends on. */
export function cacheKey(query: Parsed): string {
  const extension = !query.hasExtension ? "" : query.dnssecOk ? "dnssec" : "edns";
  return `${query.question}/${query.flags & RELEVANT_FLAGS}/${extension}`;
}

/**
 * A kept answer as the answer to `query`: its id and its spelling of the name, times to live `age` seconds shorter.
 *
 * @param limit bytes; of a longer one, only header and question, marked so that the asker comes again by TCP
 */
export function answerFor(
  query: Uint8Array,
  answer: Uint8Array,
  { parsed, age, limit = Infinity }: { parsed: Parsed; age: number; limit?: number },
): Uint8Array<ArrayBuffer> {
  const { questionEnd, timeToLiveOffsets } = parsed;
  const isWhole = answer.length <= limit;
  // A long one is not copied for every question by UDP that it is too long for.
  const copy = isWhole ? answer.slice() : truncated(answer, questionEnd);
  copy.set(query.subarray(HEADER_SIZE, questionEnd), HEADER_SIZE);
  copy.set(query.subarray(0, 2), 0);
  const view = new DataView(copy.buffer);
  for (const offset of isWhole ? timeToLiveOffsets : []) {
    view.setUint32(offset, Math.max(0, view.getUint32(offset) - age));
  }
  return copy as Uint8Array<ArrayBuffer>;
}

/** The header and question of an answer, marked as cut short. */
export function truncated(answer: Uint8Array, questionEnd: number): Uint8Array<ArrayBuffer> {
  const copy = answer.slice(0, questionEnd) as Uint8Array<ArrayBuffer>;
  const view = new DataView(copy.buffer);
  view.setUint16(2, view.getUint16(2) | FLAG_TRUNCATED);
  view.setUint16(6, 0);
  view.setUint16(8, 0);
  view.setUint16(10, 0);
  return copy;
}

/** An answer that says no more than why there is none. */
export function failure(query: Uint8Array, code: number): Uint8Array<ArrayBuffer> {
  const questionEnd = parse(query)?.questionEnd ?? HEADER_SIZE;
  const copy = query.slice(0, questionEnd);
  const view = new DataView(copy.buffer);
  const kept = view.getUint16(2) & (OPCODE_MASK | FLAG_RECURSION_DESIRED);
  view.setUint16(2, FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | kept | code);
  view.setUint16(4, questionEnd > HEADER_SIZE ? 1 : 0);
  view.setUint16(6, 0);
  view.setUint16(8, 0);
  view.setUint16(10, 0);
  return copy;
}

/** A record of an answer of our own. */
export interface ResourceData {
  readonly type: number;
  /** Seconds. */
  readonly timeToLive: number;
  /** Of each number the lowest byte. */
  readonly data: readonly number[];
}

/** An answer of our own; its records are the question's name's, but for the one that says why there are none. */
export interface LocalAnswer {
  readonly flags: number;
  readonly code: number;
  readonly answers: readonly ResourceData[];
  readonly authority: (ResourceData & { readonly owner: string }) | null;
}

/** Where the question's name stands (RFC 1035 section 4.1.4). */
const QUESTION_NAME = [0xc0, HEADER_SIZE];

/** A message of our own that answers a query. */
export function localAnswer(
  query: Uint8Array,
  { questionEnd, flags, hasExtension, dnssecOk }: Parsed,
  { flags: own, code, answers, authority }: LocalAnswer,
): Uint8Array<ArrayBuffer> {
  const kept = flags & (FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED);
  const header = [
    FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | own | kept | code,
    1,
    answers.length,
    authority === null ? 0 : 1,
    hasExtension ? 1 : 0,
  ];
  const option = [0, 0, TYPE_OPT, ...u16(OWN_UDP_SIZE), 0, 0, dnssecOk ? 0x80 : 0, 0, 0, 0];
  return Uint8Array.from([
    ...query.subarray(0, 2),
    ...header.flatMap(u16),
    ...query.subarray(HEADER_SIZE, questionEnd),
    ...answers.flatMap((record) => [...QUESTION_NAME, ...recordBytes(record)]),
    ...(authority === null ? [] : [
      ...Array.from(authority.owner, (character) => character.charCodeAt(0)),
      ...recordBytes(authority),
    ]),
    ...(hasExtension ? option : []),
  ]);
}

function recordBytes({ type, timeToLive, data }: ResourceData): number[] {
  return [...u16(type), ...u16(CLASS_IN), 0, 0, ...u16(timeToLive), ...u16(data.length), ...data];
}

function u16(value: number): number[] {
  return [value >>> 8 & 0xff, value & 0xff];
}

function readRecords(message: Uint8Array, view: DataView, start: number): RecordFields[] | null {
  const records: RecordFields[] = [];
  let at = start;
  for (const [index, section] of (["answer", "authority", "additional"] as const).entries()) {
    for (let left = view.getUint16(6 + 2 * index); left > 0; left--) {
      const fields = skipName(message, at);
      if (fields < 0 || fields + 10 > message.length) return null;
      const data = fields + 10;
      const end = data + view.getUint16(fields + 8);
      if (end > message.length) return null;
      records.push({
        section,
        type: view.getUint16(fields),
        recordClass: view.getUint16(fields + 2),
        timeToLiveOffset: fields + 4,
        data,
        end,
      });
      at = end;
    }
  }
  return records;
}

/** For an answer, the shortest time to live; for "there is none", what the SOA says (RFC 2308 section 5). */
function timeToLiveOf(view: DataView, records: readonly RecordFields[], code: number): number {
  const answers = records.filter(({ section }) => section === "answer");
  if (code === RCODE_NO_ERROR && answers.length > 0) {
    return Math.min(...answers.map((record) => timeToLive(view, record)));
  }
  if (code !== RCODE_NO_ERROR && code !== RCODE_NAME_ERROR) return 0;
  const authority = records.find(({ section, type }) =>
    section === "authority" && type === TYPE_SOA
  );
  if (authority === undefined || authority.end - authority.data < 20) return 0;
  // MINIMUM is the last of the five numbers at the end of the SOA's data.
  return Math.min(timeToLive(view, authority), view.getUint32(authority.end - 4));
}

/** A value with its highest bit set counts as 0 (RFC 2181 section 8). */
function timeToLive(view: DataView, record: RecordFields): number {
  const value = view.getUint32(record.timeToLiveOffset);
  return value > 0x7fff_ffff ? 0 : value;
}

/**
 * Where the name at `at` ends, a compression pointer included; -1 where it runs off the message, or may not have one.
 */
function skipName(message: Uint8Array, at: number, mayPoint = true): number {
  const start = at;
  while (at < message.length && at - start < MAX_NAME_SIZE) {
    const length = message[at];
    if (length === 0) return at + 1;
    if ((length & 0xc0) === 0xc0) return mayPoint && at + 2 <= message.length ? at + 2 : -1;
    if ((length & 0xc0) !== 0) return -1;
    at += 1 + length;
  }
  return -1;
}

/** Names are compared without regard to case, which only the letters of ASCII have (RFC 4343 section 3). */
function questionKey(message: Uint8Array, end: number): string {
  return String.fromCharCode(...message.subarray(HEADER_SIZE, end - 4))
    .replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()) +
    String.fromCharCode(...message.subarray(end - 4, end));
}
