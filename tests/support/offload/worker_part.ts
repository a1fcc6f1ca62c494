/** A packet worker in the place of a device's packets, for an end of a network in memory. */
import type { Arena } from "../../../ffi/arena.ts";
import type { AeadProvider } from "../../../lib/core/noise/aead.ts";
import { Outbox } from "../../../lib/core/threads/outbox.ts";
import { createRing, RingReader, RingWriter } from "../../../lib/core/threads/record_ring.ts";
import { Turn } from "../../../lib/core/threads/shared_counter.ts";
import type { SendQueue } from "../../../lib/core/transport/send_queue.ts";
import type { DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { WorkerBoard } from "../../../lib/core/wireguard/workers/worker_board.ts";
import { WorkerDevice } from "../../../lib/core/wireguard/workers/worker_device.ts";
import { bucketWords } from "../../../lib/core/wireguard/workers/worker_peer.ts";

/** The packets' half of an end whose device has a packet worker. */
export interface WorkerPart {
  readonly device: WorkerDevice;
  readonly board: WorkerBoard;
  readonly news: RingReader;
}

export function workerPart({ arena, aead, drops, mtu, sendQueue }: {
  arena: Arena;
  aead: AeadProvider;
  drops: DropCounters;
  mtu: number;
  sendQueue: SendQueue;
}): WorkerPart {
  const counters = new Int32Array(new SharedArrayBuffer(4 * 64));
  const limits = new Int32Array(new SharedArrayBuffer(4 * bucketWords(8)));
  const [toWorker, toDevice] = [createRing(1 << 16), createRing(1 << 16)];
  const shared = { memory: arena, counters, limits };
  return {
    board: new WorkerBoard({
      ...shared,
      paths: sendQueue.paths,
      outboxes: [new Outbox(new RingWriter(toWorker))],
      turn: new Turn(),
      workerOfAddress: () => 0,
    }),
    device: new WorkerDevice({
      ...shared,
      number: 0,
      workers: 1,
      sendQueue,
      aead,
      drops,
      mtu,
      turn: new Turn(),
      fromDevice: new RingReader(toWorker),
      toDevice: new RingWriter(toDevice),
      forwarded: { put: () => true, receive: () => {} },
    }),
    news: new RingReader(toDevice),
  };
}
