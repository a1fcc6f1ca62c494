/**
 * Capture: packets of one peer or of all become blocks of pcapng, which are handed over by the chunk.
 *
 * There is room for so many chunks and no more. Who does not take them as fast as packets come misses packets, which
 * are counted; the tunnel waits for nobody.
 */
import type { PacketDirection, PacketTap } from "../wireguard/packet_tap.ts";
import type { Peer } from "../wireguard/peer.ts";
import type { Memory } from "../wire/memory.ts";
import { PcapngWriter } from "./pcapng.ts";

/** Bytes of a chunk: many packets, or one of any length. */
const CHUNK_SIZE = 128 * 1024;
/** Chunks that may wait to be taken: 4 MiB. */
const MAX_WAITING = 32;
/** ms after which a chunk is handed over, however little is in it. */
const FLUSH_INTERVAL = 100;
/** In place of an interface: of a peer that is not to be captured, and of one whose description finds no room now. */
const UNWANTED = -1;
const NO_ROOM = -2;

export interface CaptureSpec {
  readonly memory: Memory;
  /** Whose packets: by public key, 32 bytes; null for all peers'. */
  readonly publicKey: Uint8Array | null;
  /** Those that there are when it begins; others are told of when they come. */
  readonly peers: Iterable<Peer>;
  /** Bytes of a packet that are kept at most. */
  readonly snapLength: number;
  /** What the file says of who wrote it. */
  readonly application: string;
  /** What a file calls a peer. */
  readonly nameOf: (peer: Peer) => { readonly name: string; readonly description: string };
  /** Unix microseconds, whole ones. */
  readonly clock: () => number;
  /** Is given a chunk for good: whole blocks, the file's next ones. */
  readonly onChunk: (chunk: Uint8Array<ArrayBuffer>) => void;
}

/** Packets so far. */
export interface CaptureCounts {
  readonly packets: number;
  /** For which there was no room. */
  readonly dropped: number;
}

export class Capture implements PacketTap {
  readonly #options: CaptureSpec;
  readonly #memory: Memory;
  #writer = new PcapngWriter(CHUNK_SIZE);
  /** Chunks handed over that have not been taken yet. */
  #waiting = 0;
  /** Monotonic ms since which there is something in the chunk; Infinity for nothing. */
  #since = Infinity;
  readonly #interfaces = new Map<Peer, number>();
  /** By interface. */
  readonly #received: number[] = [];
  readonly #dropped: number[] = [];
  /** Packets of peers without an interface. */
  #missed = 0;

  constructor(options: CaptureSpec) {
    this.#options = options;
    this.#memory = options.memory;
    this.#writer.section(options.application);
    for (const peer of options.peers) this.#describe(peer);
  }

  /** Bytes of a packet that are kept at most. */
  get snapLength(): number {
    return this.#options.snapLength;
  }

  take(peer: Peer, direction: PacketDirection, offset: number, length: number): void {
    const id = this.#interfaceOf(peer);
    if (id < 0) {
      if (id === NO_ROOM) this.#missed++;
      return;
    }
    const { snapLength, clock } = this.#options;
    const captured = length < snapLength ? length : snapLength;
    const time = clock();
    const { bytes } = this.#memory;
    if (
      this.#writer.packet(id, direction, time, bytes, offset, length, captured) ||
      this.#handOver() &&
        this.#writer.packet(id, direction, time, bytes, offset, length, captured)
    ) this.#received[id]++;
    else this.#dropped[id]++;
  }

  missed(peer: Peer, count: number): void {
    const id = this.#interfaceOf(peer);
    if (id >= 0) this.#dropped[id] += count;
    else if (id === NO_ROOM) this.#missed += count;
  }

  /** Takes note that a chunk was taken: there is room for another. */
  taken(): void {
    this.#waiting--;
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return this.#waiting < MAX_WAITING ? this.#since + FLUSH_INTERVAL : Infinity;
  }

  /** Hands over what has been there long enough. */
  poll(now: number): void {
    if (this.#writer.length === 0) return;
    if (this.#since === Infinity) this.#since = now;
    if (now >= this.#since + FLUSH_INTERVAL) this.#handOver();
  }

  /** Ends the file and hands over the last of it. */
  end(): CaptureCounts {
    const time = this.#options.clock();
    const counts = { packets: 0, dropped: this.#missed };
    this.#received.forEach((received, id) => {
      const dropped = this.#dropped[id]!;
      counts.packets += received;
      counts.dropped += dropped;
      if (this.#writer.statistics(id, time, { received, dropped })) return;
      // However many chunks wait: a few more are the last.
      this.#options.onChunk(this.#chunk());
      this.#writer.statistics(id, time, { received, dropped });
    });
    if (this.#writer.length > 0) this.#options.onChunk(this.#chunk());
    return counts;
  }

  #interfaceOf(peer: Peer): number {
    const known = this.#interfaces.get(peer);
    return known === undefined ? this.#describe(peer) : known;
  }

  /** Gives a peer its interface, if it is one that is to be captured. */
  #describe(peer: Peer): number {
    const { publicKey, nameOf, snapLength } = this.#options;
    let id = UNWANTED;
    if (publicKey === null || isSameKey(publicKey, peer.publicKey)) {
      const about = { ...nameOf(peer), snapLength };
      const isWritten = this.#writer.interface(about) ||
        this.#handOver() && this.#writer.interface(about);
      if (!isWritten) return NO_ROOM;
      id = this.#received.length;
      this.#received.push(0);
      this.#dropped.push(0);
    }
    this.#interfaces.set(peer, id);
    return id;
  }

  /** Makes room: false where too many chunks wait. */
  #handOver(): boolean {
    if (this.#waiting >= MAX_WAITING) return false;
    this.#waiting++;
    this.#options.onChunk(this.#chunk());
    return true;
  }

  /** What has been written; what comes next goes into another buffer, as the receiver keeps this one. */
  #chunk(): Uint8Array<ArrayBuffer> {
    const { bytes, length } = this.#writer;
    this.#writer = new PcapngWriter(CHUNK_SIZE);
    this.#since = Infinity;
    return bytes.subarray(0, length);
  }
}

/** Public keys: how long it takes tells nothing that is a secret. */
function isSameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
