/**
 * Direct look-up: asks certain resolvers for a name's address, past the host's own set-up: through a socket with the
 * tunnel's mark, a question leaves outside the tunnel though everything else goes through it.
 */
import { randomBytes } from "node:crypto";
import { SystemCallError } from "../../../ffi/errno.ts";
import { DatagramSocket } from "../../../ffi/sockets/datagram_socket.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { addressQuery } from "../../core/dns/address_query.ts";
import { addressesIn, FLAG_RESPONSE, parse, PLAIN_UDP_SIZE } from "../../core/dns/message.ts";

const PORT = 53;
/** ms between two looks for an answer. */
const INTERVAL = 20;
/** ms after which a question is asked again: it, or its answer, may have been lost. */
const REPETITION = 1_000;

/**
 * Asks all of the resolvers at once; the first answer with an address counts.
 *
 * @returns the IPv4 addresses, host order; none where no resolver gives one in time
 */
export async function lookUpDirectly(
  name: string,
  { nameServers, mark, timeout }: {
    /** IPv4 addresses, host order. */
    readonly nameServers: readonly number[];
    /** SO_MARK; 0 for none. */
    readonly mark: number;
    /** ms */
    readonly timeout: number;
  },
): Promise<readonly number[]> {
  const deadline = performance.now() + timeout;
  const asked = nameServers.map(async (server) => {
    const addresses = await ask(name, { server, mark, deadline });
    if (addresses.length === 0) throw new Error("no address");
    return addresses;
  });
  return await Promise.any(asked).catch(() => []);
}

async function ask(
  name: string,
  { server, mark, deadline }: { server: number; mark: number; deadline: number },
): Promise<readonly number[]> {
  const id = randomBytes(2).readUInt16BE();
  const query = addressQuery(name, id);
  const question = query === null ? null : parse(query);
  if (query === null || question === null) return [];
  const buffer = new Uint8Array(PLAIN_UDP_SIZE);
  try {
    using socket = DatagramSocket.connect(openLibc(), { address: server, port: PORT }, mark);
    for (let sentAt = -Infinity; performance.now() < deadline;) {
      if (performance.now() - sentAt >= REPETITION) {
        socket.send(query);
        sentAt = performance.now();
      }
      for (let length = socket.receive(buffer); length >= 0; length = socket.receive(buffer)) {
        const message = buffer.subarray(0, length);
        const answer = parse(message);
        // Anybody can send something from that address; only the resolver knows the id, and the port that was drawn.
        if (answer?.id !== id || answer.question !== question.question) continue;
        if ((answer.flags & FLAG_RESPONSE) === 0) continue;
        return addressesIn(message, answer);
      }
      await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
    return [];
  } catch (error) {
    // Refused, or no way there now: another resolver may do.
    if (error instanceof SystemCallError) return [];
    throw error;
  }
}
