/**
 * UDP service of the DNS proxy: takes queries by the batch, and drops those of clients that have asked too many before
 * they cost anything. Its buffer in the kernel is large, as it is one for all clients: a burst of one must not fill it
 * before this thread has turned to it.
 */
import { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import type { ReadinessWatcher } from "../../../ffi/sockets/readiness.ts";
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { SOCKADDR_IN6_ADDRESS } from "../../../ffi/sockets/ipv6_address.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { DnsClient } from "../../core/dns/cache.ts";
import { HEADER_SIZE, MAX_QUERY_SIZE } from "../../core/dns/message.ts";
import { type HostAddress, ipv6At, socketForm } from "../../core/wire/host_address.ts";
import { background, guarded } from "../../process/guard.ts";

const ARENA_SIZE = 4 * 1024 * 1024;
/** Bytes; the kernel counts about 1 KiB for a query. */
const BUFFER_SIZE = 8 * 1024 * 1024;
/** Datagrams of one call, and calls of one turn: other work comes between two turns. */
const BATCH = 32;
const MAX_CALLS = 8;
const MAX_ANSWER_SIZE = 65_507;

export interface UdpServiceOptions {
  readonly address: HostAddress;
  readonly port: number;
  /** Who is at an address. */
  readonly clientOf: (address: HostAddress) => DnsClient;
  /** Whether one more query of this client is answered. */
  readonly admit: (client: DnsClient) => boolean;
  /** The answer to a query; null for what deserves none. */
  readonly answer: (query: Uint8Array, client: DnsClient) => Promise<Uint8Array | null>;
}

export class UdpService implements Disposable {
  readonly #options: UdpServiceOptions;
  readonly #watcher: ReadinessWatcher;
  readonly #arena = new Arena(ARENA_SIZE);
  readonly #socket: UdpSocket;
  /** Where an answer stands while it is sent. */
  readonly #space = this.#arena.allocate(MAX_ANSWER_SIZE);
  #isClosed = false;

  /**
   * Answers until disposed of.
   *
   * @throws {SystemCallError} EADDRINUSE where another service has the port
   */
  constructor(libc: Libc, watcher: ReadinessWatcher, options: UdpServiceOptions) {
    this.#options = options;
    this.#watcher = watcher;
    const { address, port } = options;
    this.#socket = UdpSocket.bind(libc, this.#arena, {
      address: socketForm(address),
      port,
      mark: 0,
      offload: false,
      bufferSize: BUFFER_SIZE,
      batch: BATCH,
    });
    watcher.add(this.#socket.fd, guarded("dns", "receiving DNS queries", () => this.#receive()));
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#watcher.remove(this.#socket.fd);
    this.#socket[Symbol.dispose]();
  }

  #receive(): void {
    for (let call = 0; call < MAX_CALLS && !this.#isClosed; call++) {
      const count = this.#socket.receive();
      for (let i = 0; i < count; i++) this.#take(i);
      if (count < BATCH) return;
    }
  }

  #take(index: number): void {
    const { receivedOffsets, receivedLengths, receivedPorts } = this.#socket;
    const length = receivedLengths[index]!;
    const port = receivedPorts[index]!;
    // RFC 768: a source port of 0 says that no answer is wanted; none could be sent there.
    if (length < HEADER_SIZE || length > MAX_QUERY_SIZE || port === 0) return;
    const address = this.#senderOf(index);
    const client = this.#options.clientOf(address);
    if (!this.#options.admit(client)) return;
    const offset = receivedOffsets[index]!;
    const query = this.#arena.bytes.slice(offset, offset + length);
    background("dns", "answering a DNS query", this.#answer(query, { client, address, port }));
  }

  #senderOf(index: number): HostAddress {
    const { receivedAddresses, receivedNames6 } = this.#socket;
    const name = receivedNames6[index]!;
    if (name < 0) return receivedAddresses[index]! >>> 0;
    return ipv6At(this.#arena.view, name + SOCKADDR_IN6_ADDRESS);
  }

  async #answer(
    query: Uint8Array,
    { client, address, port }: { client: DnsClient; address: HostAddress; port: number },
  ): Promise<void> {
    const answer = await this.#options.answer(query, client);
    if (answer === null || this.#isClosed || answer.length > MAX_ANSWER_SIZE) return;
    this.#arena.bytes.set(answer, this.#space);
    // What the socket has no room for is lost, as anywhere on the way: the asker asks again.
    this.#socket.send(
      {
        offsets: Int32Array.of(this.#space),
        lengths: Int32Array.of(answer.length),
        ...pathsTo([{ address: socketForm(address), port }]),
      },
      0,
      1,
    );
  }
}
