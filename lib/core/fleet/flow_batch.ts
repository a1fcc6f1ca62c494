/**
 * Flow batch: what the holder of the virtual address tells the others of flows through its NAT, so that the next holder
 * goes on with them.
 *
 * ```text
 * body: records of 20 bytes
 *  0  protocol: 6 or 17; 128 more where the port is shared    1
 *  1  what has been seen of it                                1
 *  2  external port                                           2
 *  4  inner address                                           4
 *  8  inner port                                              2
 * 10  remote port                                             2
 * 12  remote address                                          4
 * 16  seconds for which it is kept unused                     2
 * 18  zero                                                    2
 * ```
 */
import type { FlowRecord } from "../nat/replicas/flow_record.ts";
import { isSensible } from "../nat/replicas/replicated_flows.ts";
import { FRAME_SIZE, meshBodySize, MeshKind, meshKind, writeFrame } from "./mesh/mesh_messages.ts";

const RECORD_SIZE = 20;
/** Records of a message: 1,384 bytes. */
export const FLOWS_AT_ONCE = 69;
const SHARED = 128;
const SECOND = 1_000;

/** Composes messages, each of at most `FLOWS_AT_ONCE` records. */
export class FlowBatchWriter {
  readonly #bytes = new Uint8Array(FRAME_SIZE + FLOWS_AT_ONCE * RECORD_SIZE);
  readonly #view = new DataView(this.#bytes.buffer);
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Whether it is to be taken before another is added. */
  get isFull(): boolean {
    return this.#count === FLOWS_AT_ONCE;
  }

  add(record: FlowRecord): void {
    const view = this.#view;
    const at = FRAME_SIZE + this.#count++ * RECORD_SIZE;
    view.setUint8(at, record.protocol | (record.isShared ? SHARED : 0));
    view.setUint8(at + 1, record.seen);
    view.setUint16(at + 2, record.externalPort);
    view.setInt32(at + 4, record.innerAddress);
    view.setUint16(at + 8, record.innerPort);
    view.setUint16(at + 10, record.remotePort);
    view.setInt32(at + 12, record.remoteAddress);
    view.setUint16(at + 16, Math.ceil(record.timeLeft / SECOND));
  }

  /** The message, and an empty one begun. */
  take(): Uint8Array<ArrayBuffer> {
    const size = this.#count * RECORD_SIZE;
    writeFrame(this.#view, 0, MeshKind.flows, size);
    this.#count = 0;
    return this.#bytes.slice(0, FRAME_SIZE + size);
  }
}

/** Whether a message is of this kind, whatever is in it. */
export function isFlowBatch(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return meshKind(view, 0, bytes.length) === MeshKind.flows;
}

/** The flows of such a message, which padding may follow; null where one of them cannot be. */
export function readFlowBatch(bytes: Uint8Array): FlowRecord[] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = meshBodySize(view, 0);
  if (size % RECORD_SIZE !== 0 || size > FLOWS_AT_ONCE * RECORD_SIZE) return null;
  const records = Array.from({ length: size / RECORD_SIZE }, (_, index) => {
    const at = FRAME_SIZE + index * RECORD_SIZE;
    const kind = view.getUint8(at);
    return {
      protocol: kind & ~SHARED,
      isShared: (kind & SHARED) !== 0,
      seen: view.getUint8(at + 1),
      externalPort: view.getUint16(at + 2),
      innerAddress: view.getInt32(at + 4),
      innerPort: view.getUint16(at + 8),
      remoteAddress: view.getInt32(at + 12),
      remotePort: view.getUint16(at + 10),
      timeLeft: view.getUint16(at + 16) * SECOND,
    };
  });
  return records.every(isSensible) ? records : null;
}
