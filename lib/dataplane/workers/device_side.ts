/** The device's side of packet workers: tells them what is new after each turn, and takes what they tell. */
import { clearEventFd, signalEventFd } from "../../../ffi/event_fd.ts";
import type { Libc } from "../../../ffi/libc.ts";
import type { FakeTcpRings } from "../../core/engine/fake_tcp_workers.ts";
import { Outbox } from "../../core/threads/outbox.ts";
import { RingReader, RingWriter } from "../../core/threads/record_ring.ts";
import { Turn } from "../../core/threads/shared_counter.ts";
import type { Paths } from "../../core/transport/paths.ts";
import type { Memory } from "../../core/wire/memory.ts";
import type { Device } from "../../core/wireguard/device.ts";
import { WorkerBoard } from "../../core/wireguard/workers/worker_board.ts";
import { workerOfAddress } from "../filters/steering.ts";
import { readNatUsage } from "./nat_usage.ts";
import type { SharedMemory } from "./shared_memory.ts";

export class DeviceSide {
  /** What a device needs to have workers. */
  readonly board: WorkerBoard;
  /** Null where there is no fake TCP. */
  readonly fakeTcp: FakeTcpRings | null;
  readonly #libc: Libc;
  readonly #shared: SharedMemory;
  readonly #writers: readonly RingWriter[];
  readonly #readers: readonly RingReader[];
  readonly #turn = new Turn();
  #watchLength = 0;
  #hasMore = false;

  constructor(
    libc: Libc,
    shared: SharedMemory,
    { memory, paths }: { memory: Memory; paths: Paths },
  ) {
    this.#libc = libc;
    this.#shared = shared;
    this.#writers = shared.toWorkers.map((ring) => new RingWriter(ring));
    this.#readers = shared.toDevice.map((ring) => new RingReader(ring));
    this.fakeTcp = shared.fakeTcp && {
      toWorkers: shared.fakeTcp.toWorkers.map((ring) => new RingWriter(ring)),
      fromWorkers: shared.fakeTcp.toDevice.map((ring) => new RingReader(ring)),
    };
    const count = shared.toWorkers.length;
    this.board = new WorkerBoard({
      memory,
      paths,
      outboxes: this.#writers.map((writer) => new Outbox(writer)),
      counters: new Int32Array(shared.counters),
      limits: new Int32Array(shared.limits),
      turn: this.#turn,
      workerOfAddress: (address) => workerOfAddress(address, count),
    });
  }

  /** Readable when there is something to `take()`. */
  get fd(): number {
    return this.#shared.deviceWake;
  }

  /** Takes what workers tell. */
  take(device: Device, now: number): void {
    clearEventFd(this.#libc, this.fd);
    this.#hasMore = false;
    for (const reader of this.#readers) {
      if (device.workerNews?.take(reader, now)) this.#hasMore = true;
    }
  }

  /** What a peer holds of the NAT, as the workers had it when they were last asked for their figures. */
  natUsageOf(peerIndex: number): ReturnType<typeof readNatUsage> {
    return readNatUsage(this.#shared.natUsage, peerIndex);
  }

  /** Whether a worker has no room for what it is to be told: `endTurn()` offers it again. */
  get isWaiting(): boolean {
    return this.board.isWaiting;
  }

  /**
   * Tells the workers what this turn has led to.
   *
   * @param watchLength bytes of each packet that are watched; 0 for none
   */
  endTurn(device: Device, watchLength: number, now: number): void {
    if (this.#hasMore) signalEventFd(this.#libc, this.fd);
    this.#turn.end();
    if (watchLength !== this.#watchLength) {
      this.#watchLength = watchLength;
      this.board.watch(watchLength);
    }
    this.board.publish(device.peers, now);
    for (let worker = 0; worker < this.#writers.length; worker++) this.#wake(worker);
  }

  /** Wakes a worker that was told something in this turn. */
  #wake(worker: number): void {
    const writer = this.#writers[worker];
    const fakeTcp = this.fakeTcp?.toWorkers[worker] ?? null;
    if (!writer.hasNews && !fakeTcp?.hasNews) return;
    writer.hasNews = false;
    if (fakeTcp !== null) fakeTcp.hasNews = false;
    signalEventFd(this.#libc, this.#shared.workersWake[worker]);
  }
}
