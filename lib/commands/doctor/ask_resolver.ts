/** Question to a resolver: whether it answers, by IPv4 or IPv6. */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { DatagramSocket } from "../../../ffi/sockets/datagram_socket.ts";
import { addressQuery } from "../../core/dns/address_query.ts";
import { cannotHelp, FLAG_RESPONSE, PLAIN_UDP_SIZE, responseCode } from "../../core/dns/message.ts";
import type { DnsResolver } from "../../core/config/config.ts";
import { parseIpv4 } from "../../core/wire/ipv4_text.ts";
import { guarded } from "../../process/guard.ts";
import { TlsUpstreams } from "../../services/dns_proxy/tls_upstreams.ts";

/** ms */
const TIMEOUT = 2_000;
const REPETITION = 600;
const INTERVAL = 10;
const HEADER_SIZE = 12;

/** What came of a question to a resolver. */
export type Asked = "answered" | "silent" | "failing" | "refused";

interface Resolver {
  readonly server: string;
  readonly port: number;
}

/** Null for what is no address, and for a name that cannot be asked for. */
export async function ask(name: string, resolver: Resolver): Promise<Asked | null> {
  const id = randomBytes(2).readUInt16BE();
  const query = addressQuery(name, id);
  if (query === null) return null;
  const address = parseIpv4(resolver.server);
  if (address !== null) return await askIpv4(query, { id, address, port: resolver.port });
  return isIPv6(resolver.server) ? await askIpv6(query, { id, ...resolver }) : null;
}

async function askIpv4(
  query: Uint8Array<ArrayBuffer>,
  { id, address, port }: { readonly id: number; readonly address: number; readonly port: number },
): Promise<Asked> {
  const answer = new Uint8Array(PLAIN_UDP_SIZE);
  const deadline = performance.now() + TIMEOUT;
  try {
    using socket = DatagramSocket.connect(openLibc(), { address, port }, 0);
    for (let sentAt = -Infinity; performance.now() < deadline;) {
      if (performance.now() - sentAt >= REPETITION) {
        socket.send(query);
        sentAt = performance.now();
      }
      const length = socket.receive(answer);
      if (length > 0) {
        const outcome = outcomeOf(answer.subarray(0, length), id);
        if (outcome !== null) return outcome;
      } else await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
    return "silent";
  } catch (error) {
    if (error instanceof SystemCallError) return "refused";
    throw error;
  }
}

/** Our small socket has no such addresses, and this one does not say that nobody listens: that is silence. */
async function askIpv6(
  query: Uint8Array<ArrayBuffer>,
  { id, server, port }: Resolver & { readonly id: number },
): Promise<Asked> {
  const { promise, resolve } = Promise.withResolvers<Asked>();
  const timers: ReturnType<typeof setTimeout>[] = [];
  let socket: Socket | null = null;
  try {
    const opened = socket = createSocket("udp6");
    opened.on(
      "message",
      guarded("dns", "an answer by IPv6", (message: Uint8Array) => {
        const outcome = outcomeOf(message, id);
        if (outcome !== null) resolve(outcome);
      }),
    );
    opened.on("error", guarded("dns", "asking by IPv6", () => resolve("refused")));
    const send = guarded("dns", "asking by IPv6", () => {
      opened.send(query, port, server);
    });
    send();
    for (let at = REPETITION; at < TIMEOUT; at += REPETITION) timers.push(setTimeout(send, at));
    timers.push(setTimeout(guarded("dns", "asking by IPv6", () => resolve("silent")), TIMEOUT));
    return await promise;
  } finally {
    for (const timer of timers) clearTimeout(timer);
    socket?.close();
  }
}

/** Asks by DNS over TLS. One whose certificate has another name does not answer. */
export async function askByTls(name: string, resolver: DnsResolver): Promise<Asked | null> {
  const id = randomBytes(2).readUInt16BE();
  const message = addressQuery(name, id);
  if (message === null) return null;
  using upstreams = new TlsUpstreams({ onChange: () => {} });
  let outcome: Asked = "silent";
  const exchange = upstreams.exchange(resolver, {
    message,
    verdict: (answer) => {
      const said = outcomeOf(answer, id);
      if (said === null) return "wait";
      outcome = said;
      return "take";
    },
  });
  await exchange.answer;
  return outcome;
}

/** What an answer says; null for none to this question. That there is no such name is an answer. */
export function outcomeOf(message: Uint8Array, id: number): Asked | null {
  if (message.length < HEADER_SIZE) return null;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const flags = view.getUint16(2);
  if (view.getUint16(0) !== id || (flags & FLAG_RESPONSE) === 0) return null;
  return cannotHelp(responseCode(flags)) ? "failing" : "answered";
}
