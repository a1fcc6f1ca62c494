/** Resolver of the demo's internet: it knows one name, and that name's address is that of the host that asks. */
import { createSocket } from "node:dgram";
import {
  failure,
  HEADER_SIZE,
  isQuery,
  parse,
  RCODE_NAME_ERROR,
  RCODE_NO_ERROR,
} from "../../core/dns/message.ts";
import { parseIpv4 } from "../../core/wire/ipv4_text.ts";

const PORT = 53;
/** Top-level domain "example" is kept for documentation (RFC 2606). */
export const WHO_AM_I = "whoami.example";
/** As it stands in a question: each label behind its length, then type A and class IN. */
const NAME = "\x06whoami\x07example\0";
const ADDRESS_QUESTION = `${NAME}\0\x01\0\x01`;

const ANSWER_COUNT_OFFSET = 6;
const TYPE_A = 1;
const CLASS_IN = 1;
/** A pointer to the name at offset 12, that of the question (RFC 1035 section 4.1.4). */
const POINTER_TO_QUESTION = 0xc000 | HEADER_SIZE;
/** Name 2, type 2, class 2, time to live 4, length 2, address 4. */
const RECORD_SIZE = 16;

/**
 * Answers on an address of the namespace that the thread is in, until the thread ends.
 *
 * @throws {Error} where the address is not there or the port is taken
 */
export function serveNames(address: string): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", (query, asker) => {
    const answer = answerTo(query, parseIpv4(asker.address)!);
    if (answer !== null) socket.send(answer, asker.port, asker.address);
  });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(PORT, address, () => resolve());
  });
}

/**
 * The answer to a query; null for what is none.
 *
 * @param asker host order
 */
export function answerTo(query: Uint8Array, asker: number): Uint8Array<ArrayBuffer> | null {
  const parsed = parse(query);
  if (parsed === null || !isQuery(parsed.flags)) return null;
  if (!parsed.question.startsWith(NAME)) return failure(query, RCODE_NAME_ERROR);
  const empty = failure(query, RCODE_NO_ERROR);
  if (parsed.question !== ADDRESS_QUESTION) return empty;
  const answer = new Uint8Array(empty.length + RECORD_SIZE);
  answer.set(empty);
  const view = new DataView(answer.buffer);
  view.setUint16(ANSWER_COUNT_OFFSET, 1);
  view.setUint16(empty.length, POINTER_TO_QUESTION);
  view.setUint16(empty.length + 2, TYPE_A);
  view.setUint16(empty.length + 4, CLASS_IN);
  // The time to live stays 0: the next asker is another.
  view.setUint16(empty.length + 10, 4);
  view.setUint32(empty.length + 12, asker);
  return answer;
}
