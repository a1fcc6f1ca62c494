/** Worker's fake TCP: a packet worker's end of the connections that the device's thread has, in its turns. */
import type { Arena } from "../../../ffi/arena.ts";
import type { Engine } from "../../core/engine/engine.ts";
import { WorkerFakeTcpPort } from "../../core/engine/worker_fake_tcp_port.ts";
import { RingReader, RingWriter } from "../../core/threads/record_ring.ts";
import type { WorkerDevice } from "../../core/wireguard/workers/worker_device.ts";
import type { EventLoop } from "../event_loop.ts";

/** ms until what the ring to the device's thread had no room for is offered again. */
const RETRY_PAUSE = 1;

export interface WorkerFakeTcpOptions {
  readonly arena: Arena;
  readonly device: WorkerDevice;
  readonly engine: Engine;
  readonly fromDevice: SharedArrayBuffer;
  readonly toDevice: SharedArrayBuffer;
}

export class WorkerFakeTcp {
  /** By which the device's thread is told. */
  readonly toDevice: RingWriter;
  readonly #engine: Engine;
  readonly #port: WorkerFakeTcpPort;

  /** Bytes of arena that it takes. */
  static readonly arenaSize: number = WorkerFakeTcpPort.size + 64;

  constructor({ arena, device, engine, fromDevice, toDevice }: WorkerFakeTcpOptions) {
    this.#engine = engine;
    this.toDevice = new RingWriter(toDevice);
    this.#port = new WorkerFakeTcpPort({
      memory: arena,
      offset: arena.allocate(WorkerFakeTcpPort.size),
      paths: device.paths,
      fromDevice: new RingReader(fromDevice),
      toDevice: this.toDevice,
      tagOf: (index) => device.peerAt(index)?.tag ?? 0,
    });
    engine.attach(this.#port);
  }

  /** When `poll()` has something to do though nothing is ready, monotonic ms. */
  pollAt(loop: EventLoop): number {
    if (this.#port.hasMore) return 0;
    return this.#port.isRoomAwaited ? loop.now() + RETRY_PAUSE : Infinity;
  }

  /** Takes what has come, and goes on with what there was no room for. */
  poll(now: number): void {
    if (this.#port.hasMore) this.#engine.receive(this.#port, now);
    if (this.#port.isRoomAwaited) this.#engine.resume(now);
  }

  /** Tells what was authentic in this turn. */
  endTurn(): void {
    this.#port.tell();
  }
}
