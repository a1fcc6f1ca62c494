/** Making of DNS messages for tests, byte by byte, so that the code under test is never its own judge. */

export const TYPE_A = 1;
export const TYPE_SOA = 6;
export const TYPE_TXT = 16;
export const TYPE_OPT = 41;
export const RECURSION_DESIRED = 0x0100;
export const RESPONSE = 0x8000;
export const TRUNCATED = 0x0200;
/** As a resolver answers: response, recursion desired and available. */
export const ANSWER_FLAGS = 0x8180;

export interface QueryFields {
  readonly name?: string;
  readonly type?: number;
  readonly id?: number;
  readonly flags?: number;
  /** With an OPT record (RFC 6891) that says so many bytes. */
  readonly udpSize?: number;
  readonly dnssecOk?: boolean;
}

/** A record; its name is the question's, by a compression pointer, unless given. */
export interface RecordFields {
  readonly name?: readonly number[];
  readonly type?: number;
  readonly recordClass?: number;
  /** Seconds. */
  readonly timeToLive?: number;
  readonly data?: readonly number[];
}

export interface AnswerFields {
  readonly id?: number;
  readonly flags?: number;
  readonly answers?: readonly RecordFields[];
  readonly authorities?: readonly RecordFields[];
  readonly additional?: readonly RecordFields[];
}

type Bytes = Uint8Array<ArrayBuffer>;

/** A query with one question. */
export function buildQuery(fields: QueryFields = {}): Bytes {
  const { name = "www.example", type = TYPE_A, id = 0x1234, flags = RECURSION_DESIRED } = fields;
  const option = fields.udpSize === undefined ? [] : [{
    name: [0],
    type: TYPE_OPT,
    recordClass: fields.udpSize,
    timeToLive: fields.dnssecOk ? 0x8000 : 0,
  }];
  return Uint8Array.from([
    ...[...u16(id), ...u16(flags), ...u16(1), ...u16(0), ...u16(0), ...u16(option.length)],
    ...[...encodeName(name), ...u16(type), ...u16(1)],
    ...option.flatMap(encodeRecord),
  ]);
}

/** The answer to a query: its question, and these records. */
export function buildAnswer(query: Uint8Array, fields: AnswerFields = {}): Bytes {
  const { answers = [], authorities = [], additional = [] } = fields;
  const sections = [answers, authorities, additional];
  return Uint8Array.from([
    ...u16(fields.id ?? (query[0]! << 8 | query[1]!)),
    ...u16(fields.flags ?? ANSWER_FLAGS),
    ...u16(1),
    ...sections.flatMap((section) => u16(section.length)),
    ...query.subarray(12, questionEnd(query)),
    ...sections.flat().flatMap(encodeRecord),
  ]);
}

/** Four numbers of an IPv4 address. */
export function addressData(address: string): number[] {
  return address.split(".").map(Number);
}

/** The data of an SOA record: two names and five numbers, the last of which is MINIMUM. */
export function soaData(minimum: number): number[] {
  return [0, 0, ...u32(1), ...u32(2), ...u32(3), ...u32(4), ...u32(minimum)];
}

/** The name and type that a query asks for. */
export function questionOf(query: Uint8Array): { readonly name: string; readonly type: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(String.fromCharCode(...query.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return { name: labels.join("."), type: query[at + 1]! << 8 | query[at + 2]! };
}

/** A name as labels behind their lengths. */
export function encodeName(name: string): number[] {
  const labels = name.split(".").filter((label) => label !== "");
  return [
    ...labels.flatMap((label) => [label.length, ...new TextEncoder().encode(label)]),
    0,
  ];
}

function questionEnd(query: Uint8Array): number {
  let at = 12;
  while (query[at]! > 0) at += 1 + query[at]!;
  return at + 5;
}

function encodeRecord(fields: RecordFields): number[] {
  const data = fields.data ?? [];
  return [
    ...fields.name ?? [0xc0, 12],
    ...u16(fields.type ?? TYPE_A),
    ...u16(fields.recordClass ?? 1),
    ...u32(fields.timeToLive ?? 300),
    ...u16(data.length),
    ...data,
  ];
}

function u16(value: number): number[] {
  return [value >> 8 & 0xff, value & 0xff];
}

function u32(value: number): number[] {
  return [...u16(value / 0x10000), ...u16(value & 0xffff)];
}
