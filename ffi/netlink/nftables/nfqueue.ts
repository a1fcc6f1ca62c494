/**
 * Netfilter queue reader (`linux/netfilter/nfnetlink_queue.h`): takes packets that a firewall rule queued, before the
 * host's stack gets them.
 *
 * Two queues with successive numbers share the socket: packets of the first are dropped once they are read, those of
 * the second go on, so that of them we have a copy. `installQueue()` of lib/host/firewall makes the rules for both.
 *
 * The kernel splits what GRO merged and completes checksums before it queues (`NFQA_CFG_F_GSO` is off). There is no
 * fail-open flag: what we are too slow for is dropped, never answered by the host.
 */
import type { Arena } from "../../arena.ts";
import { EINTR, EPERM } from "../../errno.ts";
import type { Libc } from "../../libc.ts";
import { MSG_DONTWAIT, SOL_NETLINK } from "../../socket_constants.ts";
import { MessageHeaders } from "../../message_headers.ts";
import { ATTRIBUTE_TYPE_MASK, type MessageBuilder, NLM_F_REQUEST, NLMSGHDR } from "../message.ts";
import { NF_ACCEPT, NF_DROP } from "./attributes.ts";
import { NFGENMSG, nfnetlinkMessage, NFNL_SUBSYS_QUEUE } from "./nfnetlink.ts";
import { NETLINK_NETFILTER, NetlinkError, NetlinkSocket } from "../socket.ts";

const NFQNL_MSG_PACKET = 0;
const NFQNL_MSG_CONFIG = 2;
const NFQNL_MSG_VERDICT_BATCH = 3;
const PACKET_TYPE = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET;

const NFQA_PACKET_HDR = 1;
const NFQA_VERDICT_HDR = 2;
const NFQA_PAYLOAD = 10;
/** The packet's whole length; there only when the payload is cut. */
const NFQA_CAP_LEN = 13;

const NFQA_CFG_CMD = 1;
const NFQA_CFG_PARAMS = 2;
const NFQA_CFG_QUEUE_MAXLEN = 3;
const NFQNL_CFG_CMD_BIND = 1;
/** `struct nfqnl_msg_config_params { be32 copy_range; u8 copy_mode; }`: all bytes of each packet, NFQNL_COPY_PACKET. */
const COPY_WHOLE_PACKETS = Uint8Array.of(0, 0, 0xff, 0xff, 2);

const NETLINK_NO_ENOBUFS = 5;

const ATTRIBUTES_OFFSET = NLMSGHDR.size + NFGENMSG.size;
const ATTRIBUTE_HEADER_SIZE = 4;
/** A packet of 64 KiB and the attributes before it; a multiple of 64. */
const BUFFER_SIZE = 66_048;
/** Bytes at the end of a buffer that a packet never reaches, and that sealing may overwrite with padding. */
const PADDING_ROOM = 64;
/** Stands for a virtio-net header that says nothing: `receive()` writes it over the attributes before the packet. */
const VNET_HEADER_SIZE = 10;
/** `nlmsghdr`, `nfgenmsg`, and an attribute of `struct nfqnl_msg_verdict_hdr { be32 verdict; be32 id; }`. */
const VERDICT_SIZE = ATTRIBUTES_OFFSET + ATTRIBUTE_HEADER_SIZE + 8;
const VERDICT_ID_OFFSET = ATTRIBUTES_OFFSET + ATTRIBUTE_HEADER_SIZE + 4;

/** The dropping queue and the passing one. */
const QUEUES = 2;
/** Columns of `/proc/net/netfilter/nfnetlink_queue`. */
const QUEUE_COLUMN = 0;
const QUEUE_DROPPED_COLUMN = 5;
const USER_DROPPED_COLUMN = 6;

export interface NfQueueOptions {
  /** Number of the queue whose packets are dropped; the one after it is that whose packets pass. */
  readonly queue: number;
  /** Packets that each queue holds for us before the kernel drops. */
  readonly length: number;
  /** Packets that one receive call takes. */
  readonly batch: number;
  /** Wanted size of the socket's buffer in bytes. */
  readonly bufferSize: number;
}

export class NfQueue implements Disposable {
  /** The descriptor, for an epoll set. */
  readonly fd: number;
  /**
   * What the last `receive()` brought: the offset of an empty virtio-net header (10 bytes), the IP packet right behind
   * it.
   */
  readonly receivedOffsets: Int32Array;
  /** Bytes, the header included; -1 when the kernel had to cut the packet short. */
  readonly receivedLengths: Int32Array;

  readonly #libc: Libc;
  readonly #view: DataView<ArrayBuffer>;
  readonly #socket: NetlinkSocket;
  readonly #headers: MessageHeaders;
  readonly #options: NfQueueOptions;
  readonly #buffers: number;
  /** Verdict messages by queue, and the vectors for `writev` that name them. */
  readonly #verdicts: readonly { readonly offset: number; readonly vector: Deno.PointerObject }[];
  /** By queue: whether the last `receive()` brought packets of it. The verdict holds the last one's id. */
  readonly #pending = new Uint8Array(QUEUES);

  /** Bytes of arena that a queue with this batch takes. */
  static arenaSize(batch: number): number {
    return batch * (BUFFER_SIZE + 128) + 1024;
  }

  private constructor(
    libc: Libc,
    arena: Arena,
    { socket, options }: { socket: NetlinkSocket; options: NfQueueOptions },
  ) {
    this.#libc = libc;
    this.#view = arena.view;
    this.#socket = socket;
    this.#options = options;
    this.fd = socket.fd;
    this.receivedOffsets = new Int32Array(options.batch);
    this.receivedLengths = new Int32Array(options.batch);
    this.#headers = new MessageHeaders(arena, {
      count: options.batch,
      nameSize: 0,
      controlSize: 0,
      vectors: 1,
    });
    this.#buffers = arena.allocate(options.batch * BUFFER_SIZE);
    for (let i = 0; i < options.batch; i++) {
      this.#headers.setPiece(i, 0, this.#buffers + i * BUFFER_SIZE, BUFFER_SIZE - PADDING_ROOM);
    }
    this.#verdicts = [NF_DROP, NF_ACCEPT].map((verdict, index) =>
      writeVerdict(arena, options.queue + index, verdict)
    );
  }

  /**
   * Opens the queues of the network namespace that the thread is in.
   *
   * @throws {NetlinkError} EPERM without CAP_NET_ADMIN, and where somebody else reads one of the queues
   */
  static open(libc: Libc, arena: Arena, options: NfQueueOptions): NfQueue {
    const socket = NetlinkSocket.open(libc, {
      protocol: NETLINK_NETFILTER,
      receiveQueueSize: options.bufferSize,
    });
    try {
      // A full buffer is no error to us: the kernel drops the packet and counts it.
      socket.setOption({ level: SOL_NETLINK, option: NETLINK_NO_ENOBUFS, value: 1 });
      for (let index = 0; index < QUEUES; index++) {
        const queue = options.queue + index;
        const message = nfnetlinkMessage({
          subsystem: NFNL_SUBSYS_QUEUE,
          message: NFQNL_MSG_CONFIG,
          resource: queue,
        })
          // struct nfqnl_msg_config_cmd { u8 command; u8 pad; be16 family; }, the family being ignored
          .bytes(NFQA_CFG_CMD, Uint8Array.of(NFQNL_CFG_CMD_BIND, 0, 0, 0))
          .bytes(NFQA_CFG_PARAMS, COPY_WHOLE_PACKETS)
          .be32(NFQA_CFG_QUEUE_MAXLEN, options.length);
        bind(socket, message, queue);
      }
      return new NfQueue(libc, arena, { socket, options });
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Takes what is queued, up to a batch, and settles it: the kernel's copies are dropped, or pass, at once.
   *
   * @returns the count of packets, described by the `received...` arrays, or the negative error number (EAGAIN: none)
   */
  receive(): number {
    const count = this.#libc.symbols.recvmmsg(
      this.fd,
      this.#headers.pointer,
      this.#options.batch,
      MSG_DONTWAIT,
      null,
    );
    if (count < 0) return -this.#libc.errno();
    let packets = 0;
    for (let i = 0; i < count; i++) {
      const length = this.#headers.receivedLength(i);
      if (this.#readPacket(this.#buffers + i * BUFFER_SIZE, length, packets)) packets++;
    }
    for (let queue = 0; queue < QUEUES; queue++) {
      if (this.#pending[queue] !== 0) this.#settle(queue);
    }
    return packets;
  }

  /** Packets lost so far because a queue or the socket's buffer was full. Only in the thread's own namespace. */
  drops(): number {
    let drops = 0;
    const table = Deno.readTextFileSync("/proc/thread-self/net/netfilter/nfnetlink_queue");
    for (const line of table.split("\n")) {
      const columns = line.trim().split(/\s+/).map(Number);
      const index = columns[QUEUE_COLUMN]! - this.#options.queue;
      if (line === "" || index < 0 || index >= QUEUES) continue;
      drops += columns[QUEUE_DROPPED_COLUMN]! + columns[USER_DROPPED_COLUMN]!;
    }
    return drops;
  }

  /** Ends the queues: the kernel drops what they hold. */
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  /**
   * Reads the datagram of `length` bytes at `at`, one message, and enters its packet in the `received...` arrays at
   * `index`.
   *
   * @returns false when it is no packet
   */
  #readPacket(at: number, length: number, index: number): boolean {
    const view = this.#view;
    if (length < ATTRIBUTES_OFFSET) return false;
    if (view.getUint16(at + NLMSGHDR.offsets.type, true) !== PACKET_TYPE) return false;
    const queue = view.getUint16(at + ATTRIBUTES_OFFSET - 2) - this.#options.queue;
    if (queue < 0 || queue >= QUEUES) return false;
    const end = at + length;
    let payload = 0;
    let payloadLength = -1;
    let cut = false;
    for (let next = at + ATTRIBUTES_OFFSET; next + ATTRIBUTE_HEADER_SIZE <= end;) {
      const size = view.getUint16(next, true);
      if (size < ATTRIBUTE_HEADER_SIZE || next + size > end) break;
      switch (view.getUint16(next + 2, true) & ATTRIBUTE_TYPE_MASK) {
        case NFQA_PACKET_HDR:
          // The ids of a queue grow, so the last one covers all before it.
          this.#view.setUint32(
            this.#verdicts[queue]!.offset + VERDICT_ID_OFFSET,
            view.getUint32(next + ATTRIBUTE_HEADER_SIZE),
          );
          this.#pending[queue] = 1;
          break;
        case NFQA_PAYLOAD:
          payload = next + ATTRIBUTE_HEADER_SIZE;
          payloadLength = size - ATTRIBUTE_HEADER_SIZE;
          break;
        case NFQA_CAP_LEN:
          cut = true;
          break;
      }
      next += (size + 3) & ~3;
    }
    if (payloadLength < 0) return false;
    const start = payload - VNET_HEADER_SIZE;
    for (let field = start; field < payload; field += 2) view.setUint16(field, 0);
    this.receivedOffsets[index] = start;
    this.receivedLengths[index] = cut ? -1 : VNET_HEADER_SIZE + payloadLength;
    return true;
  }

  /** Answers for all packets of a queue that were read. */
  #settle(queue: number): void {
    this.#pending[queue] = 0;
    const { vector } = this.#verdicts[queue]!;
    while (this.#libc.symbols.writev(this.fd, vector, 1) < 0) {
      // What is not settled now is with the next batch: its ids are greater.
      if (this.#libc.errno() !== EINTR) return;
    }
  }
}

function bind(socket: NetlinkSocket, message: MessageBuilder, queue: number): void {
  const action = `read netfilter queue ${queue}`;
  try {
    socket.request(message, action);
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== EPERM) throw error;
    throw new NetlinkError(action, EPERM, "another process may be reading it");
  }
}

/** Lays a verdict out in the arena; only the id changes from then on. No acknowledgement is asked for. */
function writeVerdict(
  arena: Arena,
  queue: number,
  verdict: number,
): { offset: number; vector: Deno.PointerObject } {
  const content = new DataView(new ArrayBuffer(8));
  content.setUint32(0, verdict);
  const message = nfnetlinkMessage({
    subsystem: NFNL_SUBSYS_QUEUE,
    message: NFQNL_MSG_VERDICT_BATCH,
    resource: queue,
  }).bytes(NFQA_VERDICT_HDR, new Uint8Array(content.buffer)).finish(0, NLM_F_REQUEST);
  const offset = arena.allocate(VERDICT_SIZE);
  arena.bytes.set(message, offset);
  const vector = arena.allocate(16);
  arena.writePointer(vector, offset);
  arena.view.setUint32(vector + 8, VERDICT_SIZE, true);
  arena.view.setUint32(vector + 12, 0, true);
  return { offset, vector: arena.pointer(vector) };
}
