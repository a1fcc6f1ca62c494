/**
 * Worker egress: a packet worker's part of a gateway's paths outside: its slice of the NAT of each family, its sockets,
 * and what it and the other workers hand over to each other. The kernel gives each worker what comes for its ports.
 *
 * Where what is configured has no parts, the first worker has all of the NAT, and the others hand over what is for it.
 */
import type { Arena } from "../../../ffi/arena.ts";
import { signalEventFd } from "../../../ffi/event_fd.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { RouteMonitor } from "../../../ffi/netlink/monitor.ts";
import { joinFanout, startFanout, steerFanout } from "../../../ffi/sockets/packet_fanout.ts";
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import { HANDED_OVER_SIZE, HandedOverPort } from "../../core/engine/handed_over_port.ts";
import type { Engine } from "../../core/engine/engine.ts";
import { ForOutsidePort } from "../../core/engine/for_outside.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import type { Nat } from "../../core/nat/nat.ts";
import type { NatService } from "../../core/nat/nat_options.ts";
import { HandOver } from "../../core/nat/slices/hand_over.ts";
import { RingReader, RingWriter } from "../../core/threads/record_ring.ts";
import type { DropCounters } from "../../core/wire/drop_reason.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../core/wire/ipv4.ts";
import type { WorkerDevice } from "../../core/wireguard/workers/worker_device.ts";
import type { WorkerPeer } from "../../core/wireguard/workers/worker_peer.ts";
import type { Egress, EgressConfig, EgressConfig6 } from "../egress/egress.ts";
import { Egresses } from "../egress/egresses.ts";
import { TraceLines } from "../egress/packet_trace.ts";
import type { EventLoop } from "../event_loop.ts";
import { outsideSteering, outsideSteering6, workerOfDestination } from "../filters/steering.ts";
import { EgressPort } from "../ports/egress_port.ts";
import { refusedLine } from "../reports.ts";
import type { SharedMemory } from "./shared_memory.ts";
import type { NatFigures } from "./worker_figures.ts";
import { writeNatUsage } from "./nat_usage.ts";

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
  /** Null where nothing of IPv6 is translated. */
  readonly config6: EgressConfig6 | null;
  /** Of this worker, from 0 on. */
  readonly number: number;
  /** Whether it translates for all. */
  readonly hasOneNat: boolean;
  readonly shared: SharedMemory;
  readonly mtu: number;
  readonly offload: boolean;
  readonly clientToClient: boolean;
  readonly device: Pick<WorkerDevice, "allowedIps" | "allowedIps6" | "peerTagged">;
  readonly log: (level: "trace" | "warning", message: string) => void;
}

/** A family's path outside, whose packet socket is one of a group that shares what comes. */
class SharedPath {
  readonly port: EgressPort;
  readonly #libc: Libc;
  readonly #egress: Egress;
  /** What chooses among the sockets. */
  readonly #program: () => readonly BpfInstruction[];
  /** Null while this worker has no socket in one. */
  #group: number | null = null;

  constructor(
    { libc, loop }: WorkerEgressOptions,
    egress: Egress,
    program: () => readonly BpfInstruction[],
  ) {
    this.#libc = libc;
    this.#egress = egress;
    this.#program = program;
    this.port = new EgressPort(egress, loop);
  }

  /** See `WorkerEgress.setExternal()`. */
  setExternal(
    external: ExternalLink<HostAddress> | null,
    group: number | null,
  ): { readonly group: number | null; readonly isOpen: boolean } {
    const egress = this.#egress;
    this.port.replaceCapture(() =>
      egress.setExternal(external, (fd) => {
        this.#group = null;
        this.#group = this.#share(fd, group);
      })
    );
    const isOpen = egress.hasExternal;
    return { group: isOpen ? this.#group : group, isOpen };
  }

  #share(fd: number, group: number | null): number {
    if (group !== null) {
      joinFanout(this.#libc, fd, group);
      return group;
    }
    const started = startFanout(this.#libc, fd);
    steerFanout(this.#libc, fd, this.#program());
    return started;
  }
}

export class WorkerEgress implements Disposable {
  readonly #options: WorkerEgressOptions;
  readonly #egresses: Egresses<WorkerPeer>;
  readonly #path: SharedPath;
  readonly #path6: SharedPath | null;
  readonly #monitor: RouteMonitor;
  /** Null where this worker has all of the NAT; then it has the other. */
  readonly #handedOver: HandedOverPort | null;
  readonly #forOutside: ForOutsidePort | null;
  /** By worker; null is this one's own place. */
  readonly #writers: readonly (RingWriter | null)[];
  readonly #traceLines: TraceLines;
  #refusedTold = 0;
  #refusedAt = -Infinity;

  /** Bytes of arena that it takes. */
  static arenaSize(config: EgressConfig, config6: EgressConfig6 | null, mtu: number): number {
    return Egresses.arenaSize(config, config6) + HANDED_OVER_SIZE + ForOutsidePort.size(mtu) + 128;
  }

  /** @throws {SystemCallError} EPERM without CAP_NET_RAW */
  constructor(options: WorkerEgressOptions) {
    using opened = new DisposableStack();
    const { arena, config, device, hasOneNat, libc, mtu, number, shared } = options;
    const { between } = shared;
    this.#options = options;
    this.#writers = between[number].map((ring, to) => to === number ? null : new RingWriter(ring));
    const readers = between.filter((_, from) => from !== number)
      .map((rings) => new RingReader(rings[number]));
    this.#handedOver = hasOneNat
      ? null
      : new HandedOverPort(arena, arena.allocate(HANDED_OVER_SIZE), readers);
    this.#forOutside = !hasOneNat ? null : new ForOutsidePort({
      memory: arena,
      offset: arena.allocate(ForOutsidePort.size(mtu)),
      mtu,
      rings: readers,
      peerOf: (tag) => device.peerTagged(tag),
    });
    this.#traceLines = new TraceLines((line) => options.log("trace", line), between.length);
    const count = between.length;
    this.#egresses = opened.use(
      new Egresses<WorkerPeer>(libc, arena, {
        ...options,
        ...!hasOneNat && {
          slice: {
            number,
            count,
            workerOf: ({ worker }) => worker,
            handOver: new HandOver(arena, this.#writers),
          },
        },
      }),
    );
    const { ipv4, ipv6 } = this.#egresses;
    this.#path = new SharedPath(options, ipv4!, () => steeringOf(config, count));
    this.#path6 = ipv6 && new SharedPath(
      options,
      ipv6,
      () => outsideSteering6({ range: config.ports, count }),
    );
    this.#monitor = opened.use(RouteMonitor.open(libc));
    opened.move();
  }

  get port(): EgressPort {
    return this.#path.port;
  }

  /** Of IPv6; null where nothing of it is translated. */
  get port6(): EgressPort | null {
    return this.#path6?.port ?? null;
  }

  get nat(): Nat {
    return this.#egresses.ipv4!.nat;
  }

  get nat6(): Nat | null {
    return this.#egresses.ipv6?.nat ?? null;
  }

  /** Has the loop watch what is to be received. */
  listen(engine: Engine): void {
    const { loop } = this.#options;
    this.port.watch((_, now) => engine.readCapture(now));
    this.port6?.watch((_, now) => engine.readCapture(now, true));
    for (const { arp, sender } of this.#egresses.all) {
      loop.add(sender.fd, () => sender.serve());
      if (arp !== null) loop.add(arp.fd, () => arp.serve());
    }
    loop.add(this.#monitor.fd, () => this.#followNetwork());
  }

  #followNetwork(): void {
    const events = this.#monitor.read();
    if (events.length === 0) return;
    for (const event of events) {
      if (event.kind === "link" && event.removed) this.#egresses.linkRemoved(event.link.index);
    }
    this.#egresses.networkChanged();
  }

  // Commands.

  /**
   * Follows the gateway to another interface or address outside; null while there is none.
   *
   * @param group of the workers before this one; null for none
   * @returns the group that the workers behind this one are to join, and whether the interface is open here
   */
  setExternal(
    { external, isIpv6 }: {
      readonly external: ExternalLink<HostAddress> | null;
      readonly isIpv6: boolean;
    },
    group: number | null,
  ): { readonly group: number | null; readonly isOpen: boolean } {
    const path = isIpv6 ? this.#path6 : this.#path;
    return path?.setExternal(external, group) ?? { group, isOpen: false };
  }

  set clientToClient(allowed: boolean) {
    this.#egresses.clientToClient = allowed;
  }

  /** Has published services handed to these back ends from now on. */
  setServices(services: readonly NatService[]): void {
    this.#egresses.ipv4!.setServices(services);
  }

  setTrace(trace: boolean): void {
    const { loop } = this.#options;
    this.#egresses.trace = trace ? (line) => this.#traceLines.add(line, loop.now()) : null;
  }

  /** Gives up what a peer holds of the NAT. */
  release(peer: WorkerPeer): void {
    this.#egresses.releaseClient(peer, this.#options.loop.now());
  }

  /** What it has done so far; what each of the peers holds is in the shared memory then. */
  figures(peers: Iterable<WorkerPeer>): NatFigures {
    const { number, shared } = this.#options;
    const egresses = this.#egresses;
    writeNatUsage(shared.natUsage[number], peers, (peer) => egresses.usageOf(peer)!);
    return {
      mappings: egresses.mappingCount,
      sessions: egresses.sessionCount,
      sendErrors: egresses.sendErrors(),
      overflow: egresses.captureDrops(),
      services: egresses.ipv4!.serviceFigures(),
    };
  }

  // Turns.

  /** When `poll()` has something to do though nothing is ready, monotonic ms. */
  pollAt(): number {
    return this.#egresses.pollAt();
  }

  /** Takes what others have handed over, and does what is due. */
  poll(engine: Engine, now: number): void {
    if (this.#handedOver !== null) engine.receiveHandedOver(this.#handedOver, now);
    if (this.#forOutside !== null) engine.receiveForOutside(this.#forOutside, now);
    this.#egresses.poll(now);
    if (this.#egresses.refusedCount !== this.#refusedTold) this.#tellRefused(now);
  }

  #tellRefused(now: number): void {
    if (now - this.#refusedAt < REFUSED_PAUSE) return;
    this.#refusedAt = now;
    this.#refusedTold = this.#egresses.refusedCount;
    this.#options.log("warning", refusedLine(this.#egresses.sendErrors()));
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
    const hasMore = this.#handedOver?.hasMore || this.#forOutside?.hasMore;
    if (hasMore && !engine.isFull) signalEventFd(libc, workersWake[number]);
  }

  [Symbol.dispose](): void {
    this.#monitor[Symbol.dispose]();
    this.#egresses[Symbol.dispose]();
  }
}

function steeringOf({ forwards, ports }: EgressConfig, count: number): readonly BpfInstruction[] {
  const steered = forwards.slice(0, MAX_STEERED).map(({ protocol, externalPort, address }) => ({
    protocol: protocol === "tcp" ? PROTOCOL_TCP : PROTOCOL_UDP,
    port: externalPort,
    socket: workerOfDestination(address, count),
  }));
  return outsideSteering({ range: ports, count, forwards: steered });
}
