/**
 * Direct look-up: asks certain resolvers for a name's address, past the host's own set-up: through a socket with the
 * tunnel's mark, a question leaves outside the tunnel though everything else goes through it.
 */
import { randomBytes } from "node:crypto";
import { SystemCallError } from "../../../ffi/errno.ts";
import { DatagramSocket } from "../../../ffi/sockets/datagram_socket.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { addressQuery, AddressType } from "../../core/dns/address_query.ts";
import { addressesIn, FLAG_RESPONSE, parse, PLAIN_UDP_SIZE } from "../../core/dns/message.ts";
import { inTurn } from "../../core/wire/families.ts";
import { type HostAddress, socketForm } from "../../core/wire/host_address.ts";
import type { NameServer } from "./name_server.ts";

const PORT = 53;
/** ms between two looks for an answer. */
const INTERVAL = 20;
/** ms after which a question is asked again: it, or its answer, may have been lost. */
const REPETITION = 1_000;

/** ms that an answer about one family waits for that about the other: some resolvers drop questions for AAAA. */
const OTHER_FAMILY_DELAY = 300;

export interface DirectLookupOptions {
  readonly nameServers: readonly NameServer[];
  /** SO_MARK; 0 for none. */
  readonly mark: number;
  /** ms */
  readonly timeout: number;
}

/**
 * Asks all of the resolvers at once; the first answer with an address counts.
 *
 * @returns the addresses, of both families in turn; none where no resolver gives one in time
 */
export async function lookUpDirectly(
  name: string,
  { nameServers, mark, timeout }: DirectLookupOptions,
): Promise<readonly HostAddress[]> {
  const deadline = performance.now() + timeout;
  using stopped = new Stop();
  const asked = nameServers.map(async (server) => {
    const addresses = await askBoth(name, { server, mark, deadline, stopped });
    if (addresses.length === 0) throw new Error("no address");
    return inTurn([...new Set(addresses)]);
  });
  return await Promise.any(asked).catch(() => []);
}

/** Says to questions under way that nobody waits for the answer. */
class Stop implements Disposable {
  isOver = false;

  [Symbol.dispose](): void {
    this.isOver = true;
  }
}

interface Question {
  readonly server: NameServer;
  readonly mark: number;
  readonly deadline: number;
  readonly stopped: Stop;
}

/** Of IPv6 first. */
async function askBoth(name: string, question: Question): Promise<readonly HostAddress[]> {
  const types = [AddressType.ipv6, AddressType.ipv4];
  const found: (readonly HostAddress[])[] = types.map(() => []);
  const { promise: enough, resolve } = Promise.withResolvers<void>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const asked = types.map(async (type, i) => {
    found[i] = await ask(name, type, question);
    if (found[i].length > 0) timer ??= setTimeout(resolve, OTHER_FAMILY_DELAY);
  });
  try {
    await Promise.race([Promise.all(asked), enough]);
  } finally {
    clearTimeout(timer);
  }
  return found.flat();
}

async function ask(
  name: string,
  type: AddressType,
  { server, mark, deadline, stopped }: Question,
): Promise<readonly HostAddress[]> {
  const id = randomBytes(2).readUInt16BE();
  const query = addressQuery(name, id, type);
  const question = query === null ? null : parse(query);
  if (query === null || question === null) return [];
  const buffer = new Uint8Array(PLAIN_UDP_SIZE);
  try {
    using socket = DatagramSocket.connect(
      openLibc(),
      { ...server, address: socketForm(server.address), port: PORT },
      mark,
    );
    for (let sentAt = -Infinity; performance.now() < deadline && !stopped.isOver;) {
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
