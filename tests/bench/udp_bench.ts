/** Bench of UDP socket tests: sockets on the loopback interface, and datagrams that say which they are. */
import { Arena } from "../../ffi/arena.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { UdpSocket, type UdpSocketOptions } from "../../ffi/sockets/udp_socket.ts";
import { type DatagramBatch, pathsTo } from "../../ffi/sockets/datagram_batch.ts";
import { assertEquals } from "../support/assert.ts";

/** Messages that a call of the sockets here handles. */
export const BATCH = 8;
/** 127.0.0.1 */
export const LOOPBACK = 0x7f000001;

const OPTIONS: UdpSocketOptions = {
  port: 0,
  mark: 0,
  offload: true,
  bufferSize: 4 * 1024 * 1024,
  batch: BATCH,
};

/** Opens a socket with offload on a free port unless told otherwise. */
export function openSocket(
  arena: Arena,
  options: Partial<UdpSocketOptions> = {},
  libc: Libc = openLibc(),
): UdpSocket {
  return UdpSocket.bind(libc, arena, { ...OPTIONS, ...options });
}

/** A datagram as a test wants it sent. */
export interface Outgoing {
  readonly length: number;
  readonly port: number;
  /** 127.0.0.1 if left out. */
  readonly address?: number | Uint8Array;
  /** The kernel's choice if left out. */
  readonly source?: number | Uint8Array;
}

/** Sockets in one arena; the content of a datagram says which it is. */
export class Bench implements Disposable {
  readonly arena: Arena = new Arena(16 * 1024 * 1024);
  readonly #sockets: UdpSocket[] = [];

  open(options: Partial<UdpSocketOptions> = {}, libc?: Libc): UdpSocket {
    const socket = openSocket(this.arena, options, libc);
    this.#sockets.push(socket);
    return socket;
  }

  /** Lays datagrams out in the arena: datagram `i` consists of bytes `i`, `i + 1` and so on. */
  batch(datagrams: readonly Outgoing[]): DatagramBatch {
    const offsets = datagrams.map(({ length }, index) => {
      const offset = this.arena.allocate(length);
      this.arena.bytes.set(content(index, length), offset);
      return offset;
    });
    return {
      offsets: Int32Array.from(offsets),
      lengths: Int32Array.from(datagrams, ({ length }) => length),
      ...pathsTo(datagrams.map((datagram) => ({ address: LOOPBACK, ...datagram }))),
    };
  }

  send(socket: UdpSocket, datagrams: readonly Outgoing[]): number {
    return socket.send(this.batch(datagrams), 0, datagrams.length);
  }

  /** All that has come to `socket`, message by message, each taken apart into its datagrams. */
  receive(socket: UdpSocket): { datagrams: Uint8Array[]; merged: number[] } {
    const datagrams: Uint8Array[] = [];
    const merged: number[] = [];
    for (let count = socket.receive(); count > 0; count = socket.receive()) {
      for (let i = 0; i < count; i++) {
        const start = socket.receivedOffsets[i]!;
        const length = socket.receivedLengths[i]!;
        const size = socket.receivedSegmentSizes[i]! || length;
        let inMessage = 0;
        for (let at = 0; inMessage === 0 || at < length; at += size) {
          const end = Math.min(at + size, length);
          datagrams.push(this.arena.bytes.slice(start + at, start + end));
          inMessage++;
        }
        merged.push(inMessage);
      }
    }
    return { datagrams, merged };
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket[Symbol.dispose]();
  }
}

function content(index: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (index + i) & 0xff);
}

/** Fails unless `received` are the datagrams numbered by `indices`, with these lengths, in this order. */
export function assertContents(
  received: readonly Uint8Array[],
  lengths: readonly number[],
  indices: readonly number[] = lengths.map((_, i) => i),
): void {
  assertEquals(received.map(({ length }) => length), [...lengths]);
  for (const [i, datagram] of received.entries()) {
    assertEquals(datagram, content(indices[i]!, lengths[i]!), `datagram ${i}`);
  }
}
