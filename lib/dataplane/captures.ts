/** Captures of the data plane: begins and ends them as the main thread asks, and gives each the packets. */
import { Capture, type CaptureCounts } from "../core/capture/capture.ts";
import { decodeKey, encodeKey } from "../core/config/values/key_text.ts";
import type { Device } from "../core/wireguard/device.ts";
import type { PacketDirection, PacketTap } from "../core/wireguard/packet_tap.ts";
import type { Peer } from "../core/wireguard/peer.ts";
import type { Memory } from "../core/wire/memory.ts";

/** What is to be captured. */
export interface CaptureRequest {
  /** The peer's public key in base64; null for all peers. */
  readonly publicKey: string | null;
  /** Bytes of a packet that are kept at most. */
  readonly snapLength: number;
  /** What the file says of who wrote it. */
  readonly application: string;
}

/** From the main thread. `id` is its name for a capture. */
export type CaptureCommand =
  /** Begin; `captured` reports follow. */
  | { readonly kind: "start-capture"; readonly id: number; readonly request: CaptureRequest }
  /** A chunk has been taken: there is room for another. */
  | { readonly kind: "capture-taken"; readonly id: number }
  /** End it; answered by `capture-ended`, after the last `captured`. */
  | { readonly kind: "end-capture"; readonly id: number };

export type CaptureReport =
  /** The file's next blocks, whole ones. */
  | { readonly kind: "captured"; readonly id: number; readonly chunk: Uint8Array<ArrayBuffer> }
  | { readonly kind: "capture-ended"; readonly id: number; readonly counts: CaptureCounts };

export interface CapturesOptions {
  readonly memory: Memory;
  readonly device: Device;
  /** Buffers in `transfer` are given away. */
  readonly report: (report: CaptureReport, transfer?: Transferable[]) => void;
}

export class Captures implements PacketTap {
  readonly #options: CapturesOptions;
  readonly #captures = new Map<number, Capture>();
  /** The same, as the hot path goes through them. */
  #running: readonly Capture[] = [];

  constructor(options: CapturesOptions) {
    this.#options = options;
  }

  obey(command: CaptureCommand): void {
    const { id, kind } = command;
    switch (kind) {
      case "start-capture":
        this.#captures.set(id, this.#start(id, command.request));
        break;
      case "capture-taken":
        this.#captures.get(id)?.taken();
        break;
      case "end-capture": {
        const counts = this.#captures.get(id)?.end() ?? { packets: 0, dropped: 0 };
        this.#captures.delete(id);
        this.#options.report({ kind: "capture-ended", id, counts });
        break;
      }
    }
    this.#running = [...this.#captures.values()];
    this.#options.device.tap = this.#running.length > 0 ? this : null;
  }

  take(peer: Peer, direction: PacketDirection, offset: number, length: number): void {
    for (let i = 0; i < this.#running.length; i++) {
      this.#running[i].take(peer, direction, offset, length);
    }
  }

  missed(peer: Peer, count: number): void {
    for (let i = 0; i < this.#running.length; i++) this.#running[i].missed(peer, count);
  }

  /** Bytes of a packet that some capture keeps; 0 where there is none. */
  get snapLength(): number {
    let longest = 0;
    for (let i = 0; i < this.#running.length; i++) {
      longest = Math.max(longest, this.#running[i].snapLength);
    }
    return longest;
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    let at = Infinity;
    for (let i = 0; i < this.#running.length; i++) at = Math.min(at, this.#running[i].pollAt());
    return at;
  }

  /** Reports what has been captured. */
  poll(now: number): void {
    for (let i = 0; i < this.#running.length; i++) this.#running[i].poll(now);
  }

  #start(id: number, { publicKey, snapLength, application }: CaptureRequest): Capture {
    const { memory, device, report } = this.#options;
    const wallClock = Date.now() - performance.now();
    return new Capture({
      memory,
      publicKey: publicKey === null ? null : decodeKey(publicKey),
      peers: device.peers,
      snapLength,
      application,
      nameOf: ({ name, publicKey }) => {
        const key = encodeKey(publicKey);
        return { name: name ?? key, description: key };
      },
      clock: () => Math.round((wallClock + performance.now()) * 1000),
      onChunk: (chunk) => report({ kind: "captured", id, chunk }, [chunk.buffer]),
    });
  }
}
