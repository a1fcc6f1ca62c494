/**
 * Worker egress: a packet worker's part of a gateway's path outside: its slice of the NAT, its sockets, and what it and
 * the other workers hand over to each other. The kernel gives each worker what comes for its ports.
 */
import type { Arena } from "../../../ffi/arena.ts";
import { signalEventFd } from "../../../ffi/event_fd.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { RouteMonitor } from "../../../ffi/netlink/monitor.ts";
import { joinFanout, startFanout, steerFanout } from "../../../ffi/sockets/packet_fanout.ts";
import { HANDED_OVER_SIZE, HandedOverPort } from "../../core/engine/handed_over_port.ts";
import type { Engine } from "../../core/engine/engine.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { HandOver } from "../../core/nat/slices/hand_over.ts";
import { RingReader, RingWriter } from "../../core/threads/record_ring.ts";
import type { DropCounters } from "../../core/wire/drop_reason.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../core/wire/ipv4.ts";
import type { AllowedIps } from "../../core/wireguard/allowed_ips.ts";
import type { WorkerPeer } from "../../core/wireguard/workers/worker_peer.ts";
import { Egress, type EgressConfig } from "../egress/egress.ts";
import { TraceLines } from "../egress/packet_trace.ts";
import type { EventLoop } from "../event_loop.ts";
import { outsideSteering, workerOfDestination } from "../filters/steering.ts";
import { EgressPort } from "../ports/egress_port.ts";
import { refusedLine } from "../reports.ts";
import type { SharedMemory } from "./shared_memory.ts";
import type { NatFigures } from "./worker_figures.ts";
import { writeNatUsage } from "./nat_usage.ts";
import { randomBytes } from "node:crypto";

/** Forwarded ports that the kernel goes by; what comes for others is handed over. */
const MAX_STEERED = 512;
/** ms between two lines about packets that the kernel has refused. */
const REFUSED_PAUSE = 5_000;

export interface WorkerEgressOptions {
  readonly libc: Libc;
  readonly arena: Arena;
  readonly loop: EventLoop;
  readonly drops: DropCounters;
  readonly config: EgressConfig;
  /** Of this worker, from 0 on. */
  readonly number: number;
  readonly shared: SharedMemory;
  readonly mtu: number;
  readonly offload: boolean;
  readonly clientToClient: boolean;
  readonly allowedIps: AllowedIps<WorkerPeer>;
  readonly log: (level: "trace" | "warning", message: string) => void;
}

export class WorkerEgress implements Disposable {
  readonly egress: Egress;
  readonly port: EgressPort;
  readonly #options: WorkerEgressOptions;
  readonly #monitor: RouteMonitor;
  readonly #handedOver: HandedOverPort;
  /** By worker; null is this one's own place. */
  readonly #writers: readonly (RingWriter | null)[];
  readonly #traceLines: TraceLines;
  /** Of packet sockets that share what comes; null while this worker has none. */
  #group: number | null = null;
  #refusedTold = 0;
  #refusedAt = -Infinity;

  /** Bytes of arena that it takes. */
  static arenaSize(config: EgressConfig): number {
    return Egress.arenaSize(config) + HANDED_OVER_SIZE + 64;
  }

  /** @throws {SystemCallError} EPERM without CAP_NET_RAW */
  constructor(options: WorkerEgressOptions) {
    using opened = new DisposableStack();
    const { allowedIps, arena, libc, loop, mtu, number, shared } = options;
    const { between } = shared;
    this.#options = options;
    this.#writers = between[number].map((ring, to) => to === number ? null : new RingWriter(ring));
    const readers = between.filter((_, from) => from !== number)
      .map((rings) => new RingReader(rings[number]));
    this.#handedOver = new HandedOverPort(arena, arena.allocate(HANDED_OVER_SIZE), readers);
    this.#traceLines = new TraceLines((line) => options.log("trace", line), between.length);
    this.egress = opened.use(
      new Egress(libc, arena, {
        ...options,
        clientOf: (address) => allowedIps.lookup(address),
        mtuOf: (address) => allowedIps.lookup(address)?.mtu ?? mtu,
        random: () => randomBytes(4).readUInt32LE(),
        slice: {
          number,
          count: between.length,
          workerOf: (address) => allowedIps.lookup(address)?.worker ?? -1,
          handOver: new HandOver(arena, this.#writers),
        },
      }),
    );
    this.port = new EgressPort(this.egress, loop);
    this.#monitor = opened.use(RouteMonitor.open(libc));
    opened.move();
  }

  /** Has the loop watch what is to be received. */
  listen(engine: Engine): void {
    const { loop } = this.#options;
    this.port.watch((_, now) => engine.readCapture(now));
    loop.add(this.egress.sender.fd, () => this.egress.sender.serve());
    loop.add(this.#monitor.fd, () => this.#followNetwork());
  }

  #followNetwork(): void {
    const events = this.#monitor.read();
    if (events.length === 0) return;
    for (const event of events) {
      if (event.kind === "link" && event.removed) this.egress.linkRemoved(event.link.index);
    }
    this.egress.networkChanged();
  }

  // Commands.

  /**
   * Follows the gateway to another interface or address outside; null while there is none.
   *
   * @param group of the workers before this one; null for none
   * @returns the group that the workers behind this one are to join
   */
  setExternal(external: ExternalLink | null, group: number | null): number | null {
    const { egress } = this;
    this.port.replaceCapture(() =>
      egress.setExternal(external, (fd) => {
        this.#group = null;
        this.#group = this.#share(fd, group);
      })
    );
    return egress.hasExternal ? this.#group : group;
  }

  #share(fd: number, group: number | null): number {
    const { config: { ports, forwards }, libc, shared: { between } } = this.#options;
    if (group !== null) {
      joinFanout(libc, fd, group);
      return group;
    }
    const started = startFanout(libc, fd);
    const steered = forwards.slice(0, MAX_STEERED).map(({ protocol, externalPort, address }) => ({
      protocol: protocol === "tcp" ? PROTOCOL_TCP : PROTOCOL_UDP,
      port: externalPort,
      socket: workerOfDestination(address, between.length),
    }));
    const program = outsideSteering({ range: ports, count: between.length, forwards: steered });
    steerFanout(libc, fd, program);
    return started;
  }

  setTrace(trace: boolean): void {
    const { loop } = this.#options;
    this.egress.trace = trace ? (line) => this.#traceLines.add(line, loop.now()) : null;
  }

  /** Gives up what a peer holds of the NAT. */
  release(peer: WorkerPeer): void {
    this.egress.nat.releaseClient(peer, this.#options.loop.now());
  }

  /** What it has done so far; what each of the peers holds is in the shared memory then. */
  figures(peers: Iterable<WorkerPeer>): NatFigures {
    const { number, shared } = this.#options;
    const { egress } = this;
    writeNatUsage(shared.natUsage[number], peers, (peer) => egress.usageOf(peer));
    return {
      mappings: egress.nat.mappingCount,
      sessions: egress.nat.sessionCount,
      sendErrors: egress.sendErrors(),
      overflow: egress.capture.drops(),
    };
  }

  // Turns.

  /** When `poll()` has something to do though nothing is ready, monotonic ms. */
  pollAt(): number {
    return this.egress.pollAt();
  }

  /** Takes what others have handed over, and does what is due. */
  poll(engine: Engine, now: number): void {
    engine.receiveHandedOver(this.#handedOver, now);
    this.egress.poll(now);
    if (this.egress.sender.errorCount !== this.#refusedTold) this.#tellRefused(now);
  }

  #tellRefused(now: number): void {
    if (now - this.#refusedAt < REFUSED_PAUSE) return;
    this.#refusedAt = now;
    this.#refusedTold = this.egress.sender.errorCount;
    this.#options.log("warning", refusedLine(this.egress.sendErrors()));
  }

  /** Wakes those to whom something was handed over in this turn, and this worker for what it has had no time for. */
  endTurn(engine: Engine): void {
    const { libc, number, shared: { workersWake } } = this.#options;
    for (let worker = 0; worker < this.#writers.length; worker++) {
      const writer = this.#writers[worker];
      if (writer === null || !writer.hasNews) continue;
      writer.hasNews = false;
      signalEventFd(libc, workersWake[worker]);
    }
    if (this.#handedOver.hasMore && !engine.isFull) signalEventFd(libc, workersWake[number]);
  }

  [Symbol.dispose](): void {
    this.#monitor[Symbol.dispose]();
    this.egress[Symbol.dispose]();
  }
}
