/**
 * UDP sockets of a relay: the one that clients write to, or, before a service, a socket for each flow, so that the
 * service can tell them apart and answer each.
 */
import type { Arena } from "../../../ffi/arena.ts";
import { Epoll, EPOLLIN } from "../../../ffi/epoll.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { RECEIVE_BUFFER_SIZE, UdpBuffers } from "../../../ffi/sockets/udp_buffers.ts";
import type { SocketName } from "../../../ffi/sockets/ipv4_address.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { DatagramPort } from "../../core/engine/ports.ts";
import type { FlowPorts } from "../../core/relay/flow_ports.ts";
import type { RelayFlow } from "../../core/relay/relay_flows.ts";
import type { Paths } from "../../core/transport/paths.ts";
import { Transport } from "../../core/transport/transport.ts";
import { socketForm } from "../../core/wire/host_address.ts";
import type { DropCounters } from "../../core/wire/drop_reason.ts";
import type { EventLoop } from "../event_loop.ts";
import { UdpPort, type UdpPortOptions } from "../ports/udp_port.ts";
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
  /** Watches `fd` already. */
  readonly loop: Pick<EventLoop, "modify">;
  readonly paths: Paths;
  readonly drops: DropCounters;
}

/** A socket, and its port. */
interface Opened {
  readonly socket: UdpSocket;
  readonly port: UdpPort;
  /** Null for that of all flows. */
  readonly flow: RelayFlow | null;
}

export class UdpSockets implements FlowPorts, Disposable {
  readonly target: number | null;
  /** Readable while one of the sockets is; for an epoll set. */
  readonly fd: number;
  /** Why the kernel refused the last socket, for the log; then set to null. */
  refusal: SystemCallError | null = null;
  /** Why the kernel refused a datagram last, an error number, for the log; then set to 0. */
  lastError = 0;
  readonly #libc: Libc;
  readonly #arena: Arena;
  readonly #epoll: Epoll;
  readonly #offload: boolean;
  readonly #buffers: UdpBuffers;
  /** Where each flow's socket is connected to. */
  readonly #remote: SocketName;
  readonly #loop: Pick<EventLoop, "modify">;
  readonly #portOptions: UdpPortOptions;
  readonly #listener: Opened | null;
  readonly #byFlow = new Map<RelayFlow, Opened>();
  readonly #byDescriptor = new Map<number, Opened>();
  readonly #byPort = new Map<DatagramPort, Opened>();

  /** Bytes of arena that the sockets take, however many there are. */
  static readonly arenaSize: number = BATCH * RECEIVE_BUFFER_SIZE + CONTROL_SPACE;

  /** @throws {SystemCallError} EADDRINUSE when the port is taken, EADDRNOTAVAIL when the address is not this host's */
  constructor(libc: Libc, arena: Arena, options: UdpSocketsOptions) {
    const { role, address, port } = options.udp;
    this.#libc = libc;
    this.#arena = arena;
    this.#offload = options.offload;
    this.#buffers = new UdpBuffers(arena, BATCH);
    this.#remote = { address: socketForm(address), port };
    this.target = role === "listen"
      ? null
      : options.paths.internEnd({ address, port }, Transport.udp);
    if (this.target !== null) options.paths.retain(this.target);
    this.#loop = options.loop;
    this.#portOptions = {
      memory: arena,
      paths: options.paths,
      drops: options.drops,
      keepsSource: true,
      // The flow's next datagram names the same one, and is refused for it.
      onSourceRefused: () => {},
      onRefused: (errno) => this.lastError = errno,
      // What a full socket does not take is dropped.
      onRoomAwaited: () => {},
    };
    using opened = new DisposableStack();
    this.#epoll = opened.use(new Epoll(libc, arena));
    this.fd = this.#epoll.fd;
    this.#listener = role === "connect" ? null : this.#watch(
      opened.use(
        UdpSocket.bind(libc, arena, {
          ...options,
          ...address === "::" ? { bothFamilies: true } : { address: socketForm(address) },
          port,
          mark: 0,
          batch: BATCH,
          buffers: this.#buffers,
        }),
      ),
      null,
    );
    opened.move();
  }

  wait(): number {
    return this.#epoll.wait(0);
  }

  ready(index: number): DatagramPort | null {
    return this.#byDescriptor.get(this.#epoll.descriptor(index))?.port ?? null;
  }

  flowOf(port: DatagramPort): RelayFlow | null {
    return this.#byPort.get(port)?.flow ?? null;
  }

  portOf(flow: RelayFlow): DatagramPort | null {
    return (this.#listener ?? this.#byFlow.get(flow) ?? this.#open(flow))?.port ?? null;
  }

  #open(flow: RelayFlow): Opened | null {
    let socket: UdpSocket;
    try {
      socket = UdpSocket.bind(this.#libc, this.#arena, {
        port: 0,
        remote: this.#remote,
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
    const opened = this.#watch(socket, flow);
    this.#byFlow.set(flow, opened);
    return opened;
  }

  #watch(socket: UdpSocket, flow: RelayFlow | null): Opened {
    const opened = { socket, port: new UdpPort(socket, this.#portOptions), flow };
    this.#byDescriptor.set(socket.fd, opened);
    this.#byPort.set(opened.port, opened);
    this.#epoll.add(socket.fd, EPOLLIN);
    return opened;
  }

  close(flow: RelayFlow): void {
    const opened = this.#byFlow.get(flow);
    if (opened === undefined) return;
    this.#byFlow.delete(flow);
    this.#byPort.delete(opened.port);
    this.#byDescriptor.delete(opened.socket.fd);
    // The epoll set forgets a descriptor that is closed.
    opened.socket[Symbol.dispose]();
  }

  awaitPackets(isAwaited: boolean): void {
    this.#loop.modify(this.fd, isAwaited ? EPOLLIN : 0);
  }

  [Symbol.dispose](): void {
    for (const { socket } of this.#byDescriptor.values()) socket[Symbol.dispose]();
    this.#epoll[Symbol.dispose]();
  }
}
