/**
 * Owns the UDP end of a relay: the one socket that clients write to, or, before a service, a socket for each flow, so that the
 * service can tell them apart and answer each.
 */
import type { Arena } from "../../../ffi/arena.ts";
import { Epoll, EPOLLIN } from "../../../ffi/epoll.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { RECEIVE_BUFFER_SIZE, UdpBuffers } from "../../../ffi/sockets/udp_buffers.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { RelayFlow } from "../../core/relay/relay_flows.ts";
import type { RelayConfig } from "./relay_protocol.ts";

/** Messages that one receive or send call handles; each may hold many datagrams. */
const BATCH = 16;
/** Bytes for message headers, vectors and control blocks. */
const CONTROL_SPACE = 64 * 1024;
/** Wanted size of the buffers of one flow's socket, in bytes. */
const FLOW_BUFFER_SIZE = 2 * 1024 * 1024;

export interface UdpSocketsOptions {
  readonly udp: RelayConfig["udp"];
  readonly offload: boolean;
  /** Wanted size of the buffers of a socket for all, in bytes. */
  readonly bufferSize: number;
}

export class UdpSockets implements Disposable {
  /** Where all flows' datagrams go, host order; null where each flow has its own far end. */
  readonly target: { readonly address: number; readonly port: number } | null;
  /** Readable while one of the sockets is; for an epoll set. */
  readonly fd: number;
  /** Why the kernel refused the last socket, for the log; then set to null. */
  refusal: SystemCallError | null = null;
  readonly #libc: Libc;
  readonly #arena: Arena;
  readonly #epoll: Epoll;
  readonly #offload: boolean;
  readonly #buffers: UdpBuffers;
  readonly #listener: UdpSocket | null;
  readonly #byFlow = new Map<RelayFlow, UdpSocket>();
  readonly #byDescriptor = new Map<number, UdpSocket>();
  readonly #flows = new Map<UdpSocket, RelayFlow>();

  /** Bytes of arena that the sockets take, however many there are. */
  static readonly arenaSize: number = BATCH * RECEIVE_BUFFER_SIZE + CONTROL_SPACE;

  /** @throws {SystemCallError} EADDRINUSE when the port is taken, EADDRNOTAVAIL when the address is not this host's */
  constructor(libc: Libc, arena: Arena, options: UdpSocketsOptions) {
    const { role, address, port } = options.udp;
    this.#libc = libc;
    this.#arena = arena;
    this.#offload = options.offload;
    this.#buffers = new UdpBuffers(arena, BATCH);
    this.target = role === "listen" ? null : { address, port };
    using opened = new DisposableStack();
    this.#epoll = opened.use(new Epoll(libc, arena));
    this.fd = this.#epoll.fd;
    this.#listener = role === "connect" ? null : opened.use(
      UdpSocket.bind(libc, arena, {
        ...options,
        address,
        port,
        mark: 0,
        batch: BATCH,
        buffers: this.#buffers,
      }),
    );
    if (this.#listener !== null) this.#watch(this.#listener);
    opened.move();
  }

  /** Looks which sockets can be read; returns how many, each to be had by `ready()`. */
  wait(): number {
    return this.#epoll.wait(0);
  }

  /** Socket `index` of the last `wait()`; null where it has been closed since. */
  ready(index: number): UdpSocket | null {
    return this.#byDescriptor.get(this.#epoll.descriptor(index)) ?? null;
  }

  /** Whose socket it is; null for that of all. */
  flowOf(socket: UdpSocket): RelayFlow | null {
    return this.#flows.get(socket) ?? null;
  }

  /** The socket by which a flow's datagrams leave, opened if need be; null where the kernel refuses one. */
  socketOf(flow: RelayFlow): UdpSocket | null {
    return this.#listener ?? this.#byFlow.get(flow) ?? this.#open(flow);
  }

  #open(flow: RelayFlow): UdpSocket | null {
    let socket: UdpSocket;
    try {
      socket = UdpSocket.bind(this.#libc, this.#arena, {
        port: 0,
        remote: this.target!,
        mark: 0,
        offload: this.#offload,
        bufferSize: FLOW_BUFFER_SIZE,
        batch: BATCH,
        buffers: this.#buffers,
      });
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      this.refusal = error;
      return null;
    }
    this.#byFlow.set(flow, socket);
    this.#flows.set(socket, flow);
    this.#watch(socket);
    return socket;
  }

  #watch(socket: UdpSocket): void {
    this.#byDescriptor.set(socket.fd, socket);
    this.#epoll.add(socket.fd, EPOLLIN);
  }

  /** Closes the socket of a flow, if it has one of its own. */
  close(flow: RelayFlow): void {
    const socket = this.#byFlow.get(flow);
    if (socket === undefined) return;
    this.#byFlow.delete(flow);
    this.#flows.delete(socket);
    this.#byDescriptor.delete(socket.fd);
    // The epoll set forgets a descriptor that is closed.
    socket[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    for (const socket of this.#byDescriptor.values()) socket[Symbol.dispose]();
    this.#epoll[Symbol.dispose]();
  }
}
