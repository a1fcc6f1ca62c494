/** Own answers: what the proxy says of names that are its own affair, in its own name. */
import {
  FLAG_AUTHORITATIVE,
  localAnswer,
  type Parsed,
  RCODE_NAME_ERROR,
  RCODE_NO_ERROR,
  type ResourceData,
  truncated,
} from "./message.ts";
import { wireName } from "./wire_name.ts";

export const TYPE_A = 1;
export const TYPE_SOA = 6;
export const TYPE_AAAA = 28;
export const TYPE_ANY = 255;
/** The mailbox of nobody (RFC 2606 section 2). */
const NOBODY = wireName("nobody.invalid")!;
/** Of the SOA: SERIAL, REFRESH, RETRY, EXPIRE. Nobody transfers the zone. */
const SOA_NUMBERS = [1, 3_600, 600, 86_400];
/** Seconds for which others may keep that a name is blocked. */
const BLOCKED_TIME_TO_LIVE = 60;

/** What is said of a name. */
export interface OwnAnswer {
  readonly code: number;
  readonly records: readonly ResourceData[];
  /** The domain that the name is in, as a wire name, whose SOA says how long one may remember that there is nothing. */
  readonly zone: string;
  /** Seconds of that. */
  readonly timeToLive: number;
}

/** The message that says it, cut short where it is longer than `limit` bytes. */
export function ownAnswer(
  query: Uint8Array,
  parsed: Parsed,
  { code, records, zone, timeToLive }: OwnAnswer,
  limit: number,
): Uint8Array<ArrayBuffer> {
  const answer = localAnswer(query, parsed, {
    flags: FLAG_AUTHORITATIVE,
    code,
    answers: records,
    authority: records.length > 0 ? null : { owner: zone, ...soaRecord(zone, timeToLive) },
  });
  return answer.length <= limit ? answer : truncated(answer, parsed.questionEnd);
}

/** The SOA of a zone whose only server is the proxy; its time to live is also that of what is not there. */
export function soaRecord(zone: string, timeToLive: number): ResourceData {
  const numbers = [...SOA_NUMBERS, timeToLive]
    .flatMap((value) => [value >>> 24, value >>> 16, value >>> 8, value]);
  return { type: TYPE_SOA, timeToLive, data: [...bytesOf(zone), ...bytesOf(NOBODY), ...numbers] };
}

/**
 * That a name is blocked.
 *
 * @param domain the wire name of the domain that is as if it were not there; null where the name alone leads nowhere
 */
export function blockedAnswer(
  query: Uint8Array,
  parsed: Parsed,
  domain: string | null,
  limit: number,
): Uint8Array<ArrayBuffer> {
  const { name, type } = questionOf(parsed);
  const timeToLive = BLOCKED_TIME_TO_LIVE;
  const size = type === TYPE_A ? 4 : type === TYPE_AAAA ? 16 : 0;
  const isThere = domain === null;
  return ownAnswer(query, parsed, {
    code: isThere ? RCODE_NO_ERROR : RCODE_NAME_ERROR,
    records: isThere && size > 0 ? [{ type, timeToLive, data: Array<number>(size).fill(0) }] : [],
    zone: domain ?? name,
    timeToLive,
  }, limit);
}

/** What is asked: the wire name, in lower case, and the numbers of the type and the class. */
export function questionOf(
  { question }: Parsed,
): { readonly name: string; readonly type: number; readonly recordClass: number } {
  const name = question.slice(0, -4);
  const u16 = (at: number) => question.charCodeAt(at) << 8 | question.charCodeAt(at + 1);
  return { name, type: u16(name.length), recordClass: u16(name.length + 2) };
}

/** The bytes of a wire name. */
export function bytesOf(wire: string): number[] {
  return Array.from(wire, (character) => character.charCodeAt(0));
}
