/**
 * Peer session: a keypair, and what the device knows besides of the handshake that it came from. Packets need the
 * keypair alone (transport_messages.ts); this is the half that goes with handshakes and timers.
 *
 * A session may be steady: the next packet by the same path brings its peer nothing new but bytes, and that it is alive
 * still. That is written down here alone, and done for the peer as soon as anything else happens to it, whatever it is
 * (`Peer.endSteady()`): nobody can tell the difference. With many peers in turn, what is known of one is in no cache,
 * and each run of packets would wait for a dozen places in memory.
 */
import { NO_PATH } from "../../transport/paths.ts";
import type { SocketAddress } from "../../wire/socket_address.ts";
import { Keypair, type KeypairOptions } from "./keypair.ts";

export interface PeerSessionOptions extends KeypairOptions {
  /** Where our message of the handshake went: who has the key received it there. */
  readonly sentTo: SocketAddress;
  /** TAI64N of the initiation that it comes from, 12 bytes. */
  readonly timestamp: Uint8Array;
}

/** Bytes after which a message is taken in full all the same: their sum stays a small integer. */
const MOST_NEW_BYTES = 1 << 29;
const SECOND = 1000;
/**
 * Ticks in a ms: a time in them, cut to an int32, is a small integer, and stands in the session itself. Differences
 * hold for 524 seconds, and between messages of one session there are 180 at most.
 */
const TICKS = 4096;

export class PeerSession extends Keypair {
  readonly sentTo: SocketAddress;
  readonly timestamp: Uint8Array;
  /** Whether a packet has come under this key. */
  hasReceived = false;
  /** Whether the other end began a session at the same time, and may use that one. */
  isCrossed = false;
  /** Whether the responder may have put the session of a later initiation of ours in its place by now. */
  isTentative = false;
  /** By which path it is steady; `NO_PATH` for by none. */
  steadyPath: number = NO_PATH;
  /** Until when, whole seconds: a small integer that never wraps, however long the machine has slept meanwhile. */
  #steadyUntil = 0;
  /** Bytes of messages that have come since it became steady, and the time of the last one, ticks. */
  newBytes = 0;
  #seenAt = 0;

  constructor(options: PeerSessionOptions) {
    super(options);
    this.sentTo = options.sentTo;
    this.timestamp = options.timestamp;
  }

  /** Packets by this path bring nothing new until then, monotonic ms, less a second at most. */
  beginSteady(path: number, until: number): void {
    this.steadyPath = path;
    this.#steadyUntil = (until / SECOND) | 0;
    this.newBytes = 0;
  }

  /** Whether a packet by this path brings nothing new. */
  isSteady(path: number, now: number): boolean {
    return this.steadyPath === path && ((now / SECOND) | 0) < this.#steadyUntil &&
      this.newBytes < MOST_NEW_BYTES;
  }

  /** Takes note of a message with a packet, while it is steady. */
  takeSteady(length: number, now: number): void {
    this.newBytes += length;
    this.#seenAt = ticksOf(now);
  }

  /**
   * When the last one came, monotonic ms, rounded down to a tick.
   *
   * @param since a time before it, in the life of the session
   */
  seenAt(since: number): number {
    const later = (this.#seenAt - ticksOf(since)) | 0;
    return Math.max(since, (Math.floor(since * TICKS) + later) / TICKS);
  }

  /** Each message counts by itself from now on. */
  endSteady(): void {
    this.steadyPath = NO_PATH;
    // Else a message that came by no path would be one more of it, and count for nobody.
    this.#steadyUntil = 0;
    this.newBytes = 0;
  }
}

function ticksOf(time: number): number {
  return (time * TICKS) | 0;
}
