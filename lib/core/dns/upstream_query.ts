/**
 * Upstream query: the message that asks an upstream, made hard to answer for anyone who does not see it, and the
 * judgement of what comes back (RFC 5452 section 9).
 *
 * An off-path forger must guess the id, the port that the socket has drawn, and the case of each letter of the name,
 * which an honest server repeats as it came ("0x20", draft-vixie-dnsext-dns0x20): about 32 bits and one for each
 * letter.
 */
import {
  cannotHelp,
  FLAG_RESPONSE,
  FLAG_TRUNCATED,
  HEADER_SIZE,
  OPCODE_MASK,
  parse,
  type Parsed,
  RELEVANT_FLAGS,
  responseCode,
} from "./message.ts";

/**
 * What fits every path in one piece (dnsflagday.net/2020): fragments of an answer could be forged without any guess.
 */
const UDP_SIZE = 1232;
const TYPE_OPT = 41;
const FLAG_DNSSEC_OK = 0x8000;

/** What an answer says about itself. */
export type Judgement =
  /** The answer to the question. */
  | "right"
  /** It is, but not whole: TCP has all of it. */
  | "truncated"
  /** The answer to the question in another spelling: of a server that changes it, or of a forger. */
  | "misspelt"
  /** A server's word that it cannot help, without the question. */
  | "refused"
  /** Not to this question: late, broken or forged. */
  | "wrong";

/**
 * The message that asks what a client's query asks, and no byte of his besides.
 *
 * @param query the client's
 * @param random bytes that nobody can foresee: two for the id, then one for each byte of the question; fewer leave the
 * case of the letters as the client has it
 */
export function upstreamQuery(
  query: Uint8Array,
  parsed: Parsed,
  random: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const { questionEnd, hasExtension, dnssecOk } = parsed;
  const size = questionEnd + (hasExtension ? 11 : 0);
  const message = new Uint8Array(size);
  message.set(query.subarray(HEADER_SIZE, questionEnd), HEADER_SIZE);
  const view = new DataView(message.buffer);
  view.setUint16(0, random[0]! << 8 | random[1]!);
  view.setUint16(2, parsed.flags & RELEVANT_FLAGS);
  view.setUint16(4, 1);
  // Lengths of labels are below 64, and so no letters.
  for (let at = HEADER_SIZE, i = 2; at < questionEnd - 4 && i < random.length; at++, i++) {
    if (isLetter(message[at]!) && (random[i]! & 1) !== 0) message[at]! ^= 0x20;
  }
  if (hasExtension) {
    view.setUint16(10, 1);
    view.setUint16(questionEnd + 1, TYPE_OPT);
    view.setUint16(questionEnd + 3, UDP_SIZE);
    view.setUint16(questionEnd + 7, dnssecOk ? FLAG_DNSSEC_OK : 0);
  }
  return message;
}

/** Random bytes that `upstreamQuery()` takes for a question. */
export function randomSize({ questionEnd }: Parsed): number {
  return 2 + questionEnd - HEADER_SIZE;
}

/**
 * What a message is that came back to `asked`.
 *
 * @param anyCase whether the name's spelling does not matter
 */
export function judge(
  asked: Uint8Array,
  message: Uint8Array,
  { question, anyCase }: { question: Parsed; anyCase: boolean },
): Judgement {
  // First, as it costs nothing: a resolver by TLS may send thousands of records for each of hundreds that wait.
  if (message.length < HEADER_SIZE || message[0] !== asked[0] || message[1] !== asked[1]) {
    return "wrong";
  }
  const answer = parse(message);
  if (answer === null && isBareFailure(message)) return "refused";
  if (answer === null || answer.question !== question.question) return "wrong";
  if ((answer.flags & FLAG_RESPONSE) === 0 || (answer.flags & OPCODE_MASK) !== 0) return "wrong";
  for (let at = HEADER_SIZE; !anyCase && at < question.questionEnd; at++) {
    if (message[at] !== asked[at]) return "misspelt";
  }
  return (answer.flags & FLAG_TRUNCATED) !== 0 ? "truncated" : "right";
}

/**
 * A header with an error: what servers say that have not got as far as the question, as to EDNS that they do not know.
 */
function isBareFailure(message: Uint8Array): boolean {
  const flags = message[2]! << 8 | message[3]!;
  const isResponse = (flags & FLAG_RESPONSE) !== 0 && (flags & OPCODE_MASK) === 0;
  return isResponse && message[4] === 0 && message[5] === 0 && cannotHelp(responseCode(flags));
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}
