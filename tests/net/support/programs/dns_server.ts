/** DNS server whose answers the test writes: UDP and TCP, with a record of what it was asked. */
import { pathsTo } from "../../../../ffi/sockets/datagram_batch.ts";
import { Arena } from "../../../../ffi/arena.ts";
import { SOCKADDR_IN6_SCOPE } from "../../../../ffi/sockets/ipv6_address.ts";
import type { UdpSocket } from "../../../../ffi/sockets/udp_socket.ts";
import { ipv6At } from "../../../../lib/core/wire/host_address.ts";
import { formatIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { questionOf } from "../../../support/dns/messages.ts";
import { closeQuietly } from "../../../support/close.ts";
import { type TestNamespace } from "../../../support/net.ts";
import { ARENA_SIZE, openSocket } from "../traffic/sockets.ts";

const PORT = 53;
/** How often it looks for queries, in ms. */
const INTERVAL_MS = 2;

export interface DnsQuestion {
  readonly name: string;
  readonly type: number;
  readonly transport: "udp" | "tcp";
  /** The asker's address. */
  readonly from: string;
  /** The address that was asked. */
  readonly to: string;
  readonly query: Uint8Array;
}

/** The answers to a question; none for silence. */
export type DnsHandler = (
  question: DnsQuestion,
) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;

/** Answers on some addresses of a namespace until it is disposed of. */
export class DnsServer implements Disposable {
  /** In the order in which they came; one that was sent again, as an answer was late, is listed once. */
  readonly questions: DnsQuestion[] = [];
  readonly #datagrams = new Set<string>();
  readonly #handler: DnsHandler;
  readonly #addresses: readonly string[];
  readonly #resources = new DisposableStack();
  readonly #connections = new Set<Deno.TcpConn>();

  /** @param addresses for which it answers, link-local ones as in `fe80::1%eth0`; datagrams to others get no answer */
  constructor(namespace: TestNamespace, addresses: readonly string[], handler: DnsHandler) {
    this.#handler = handler;
    this.#addresses = addresses;
    const arena = new Arena(ARENA_SIZE);
    const socket = this.#resources.use(openSocket(namespace, arena, PORT));
    const space = arena.allocate(65_536);
    const timer = setInterval(() => {
      for (let count = socket.receive(); count > 0; count = socket.receive()) {
        for (let i = 0; i < count; i++) {
          void this.#serveDatagram(socket, { index: i, arena, space });
        }
      }
    }, INTERVAL_MS);
    this.#resources.defer(() => clearInterval(timer));
    for (const address of addresses) {
      const listener = namespace.inside(() => Deno.listen({ hostname: address, port: PORT }));
      this.#resources.defer(() => closeQuietly(listener));
      void this.#serveTcp(listener, address.split("%")[0]!);
    }
  }

  /** How often a name, in lower case, was asked for. */
  count(name: string, transport?: "udp" | "tcp"): number {
    return this.questions.filter((question) =>
      question.name.toLowerCase() === name &&
      (transport === undefined || question.transport === transport)
    ).length;
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
    this.#connections.forEach(closeQuietly);
  }

  async #serveDatagram(
    socket: UdpSocket,
    { index, arena, space }: { index: number; arena: Arena; space: number },
  ): Promise<void> {
    const offset = socket.receivedOffsets[index]!;
    const query = arena.bytes.slice(offset, offset + socket.receivedLengths[index]!);
    const name6 = socket.receivedNames6[index]!;
    const at6 = (at: number) => arena.bytes.slice(at, at + 16);
    const from = name6 < 0 ? socket.receivedAddresses[index]! : at6(name6 + 8);
    const to = name6 < 0 ? socket.receivedSources[index]! : at6(socket.receivedSources6[index]!);
    const port = socket.receivedPorts[index]!;
    const ends = { from: textOf(from), to: textOf(to) };
    for (const answer of await this.#answer(query, { transport: "udp", ...ends })) {
      if (this.#resources.disposed) return;
      arena.bytes.set(answer, space);
      const batch = {
        offsets: Int32Array.of(space),
        lengths: Int32Array.of(answer.length),
        ...pathsTo([{ address: from, port, source: to }]),
      };
      // The interface of a link-local address.
      if (name6 >= 0) {
        batch.paths.view.setUint32(
          SOCKADDR_IN6_SCOPE,
          arena.view.getUint32(name6 + SOCKADDR_IN6_SCOPE),
        );
      }
      socket.send(batch, 0, 1);
    }
  }

  async #answer(
    query: Uint8Array,
    rest: Pick<DnsQuestion, "transport" | "from" | "to">,
  ): Promise<readonly Uint8Array[]> {
    const question = { ...questionOf(query), query, ...rest };
    if (!this.#addresses.some((address) => address.split("%")[0] === rest.to)) return [];
    const { from, to, transport } = rest;
    const datagram = `${from} ${to} ${query.join()}`;
    if (transport === "tcp" || !this.#datagrams.has(datagram)) this.questions.push(question);
    if (transport === "udp") this.#datagrams.add(datagram);
    return await this.#handler(question);
  }

  async #serveTcp(listener: Deno.TcpListener, address: string): Promise<void> {
    for await (const connection of listener) {
      this.#connections.add(connection);
      // The asker may leave at any time.
      void this.#serveConnection(connection, address).catch(() => {}).finally(() => {
        this.#connections.delete(connection);
        closeQuietly(connection);
      });
    }
  }

  async #serveConnection(connection: Deno.TcpConn, to: string): Promise<void> {
    const { hostname: from } = connection.remoteAddr;
    for (;;) {
      const prefix = await readFully(connection, 2);
      const query = await readFully(connection, prefix[0]! << 8 | prefix[1]!);
      for (const answer of await this.#answer(query, { transport: "tcp", from, to })) {
        const framed = Uint8Array.from([answer.length >> 8, answer.length & 0xff, ...answer]);
        for (let at = 0; at < framed.length;) at += await connection.write(framed.subarray(at));
      }
    }
  }
}

async function readFully(connection: Deno.TcpConn, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let have = 0; have < size;) {
    const count = await connection.read(bytes.subarray(have));
    if (count === null) throw new Error("Cannot read: the asker has closed the connection");
    have += count;
  }
  return bytes;
}

function textOf(address: number | Uint8Array<ArrayBuffer>): string {
  return typeof address === "number"
    ? formatIpv4(address)
    : ipv6At(new DataView(address.buffer), 0);
}
