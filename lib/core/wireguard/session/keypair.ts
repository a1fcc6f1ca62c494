/**
 * Keypair: what the packets of a session need, and nothing else: both transport keys, the counter of the one, the
 * replay window of the other, the indices, their age. A holder of it can open and seal; what follows for the peer is
 * `PeerSession`'s.
 */
import type { AeadKey } from "../../noise/aead.ts";
import type { SharedCounter } from "../../threads/shared_counter.ts";
import {
  REJECT_AFTER_MESSAGES_HIGH,
  REJECT_AFTER_MESSAGES_LOW,
  ReplayWindow,
} from "../../noise/replay_window.ts";
import {
  REJECT_AFTER_TIME,
  REKEY_AFTER_MESSAGES_HIGH,
  REKEY_AFTER_TIME,
  REKEY_AFTER_TIME_RECEIVING,
} from "../constants.ts";

export interface KeypairOptions {
  /** The index of the peer at the other end. */
  readonly peerIndex: number;
  readonly sending: AeadKey;
  readonly receiving: AeadKey;
  /** True on the end that sent the initiation; only that end renews keys by time and count. */
  readonly isInitiator: boolean;
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** Monotonic ms. */
  readonly createdAt: number;
  /** High half of the first counter; 0, but where ours show themselves by it (recognition.ts). */
  readonly counterHigh?: number;
  /** What the low half of counters is drawn from where other threads seal under the same key. */
  readonly shared?: SharedCounter | null;
}

export class Keypair {
  readonly peerIndex: number;
  readonly sending: AeadKey;
  readonly receiving: AeadKey;
  readonly isInitiator: boolean;
  /**
   * Ours, uint32: what the peer puts into its messages to name this session. A double from the start: with the first
   * index from 2^31 on, which is chance, the field would be of another kind, and all code compiled for keypairs void.
   */
  readonly localIndex: number = 0.5;
  /** The peer's, in the same way. */
  readonly remoteIndex: number = 0.5;
  readonly createdAt: number;
  readonly replay: ReplayWindow = new ReplayWindow();
  /** The counter that the next message gets, as two uint32 halves: never handed out twice. */
  counterLow = 0;
  counterHigh: number;
  /** Null where this thread alone seals. */
  readonly shared: SharedCounter | null;

  constructor(options: KeypairOptions) {
    this.peerIndex = options.peerIndex;
    this.sending = options.sending;
    this.receiving = options.receiving;
    this.isInitiator = options.isInitiator;
    this.localIndex = options.localIndex;
    this.remoteIndex = options.remoteIndex;
    this.createdAt = options.createdAt;
    this.counterHigh = options.counterHigh ?? 0;
    this.shared = options.shared ?? null;
  }

  /** Loads what opening a message needs, whatever its counter and the key's age; the result means nothing. */
  prefetch(): number {
    return this.replay.greatestHigh ^ this.receiving.prefetch();
  }

  /** Whether nothing has been sealed under this key. */
  get isUnused(): boolean {
    return this.shared === null ? this.counterLow === 0 : this.shared.isUntouched;
  }

  /** Whether a message may still be sent under this key. */
  canSend(now: number): boolean {
    return now - this.createdAt < REJECT_AFTER_TIME &&
      (this.counterHigh < REJECT_AFTER_MESSAGES_HIGH ||
        this.counterLow < REJECT_AFTER_MESSAGES_LOW);
  }

  /** Whether a message may still be received under this key. */
  canReceive(now: number): boolean {
    return now - this.createdAt < REJECT_AFTER_TIME;
  }

  /** Whether there is a counter for the next message, which is then in the two halves. */
  hasCounter(): boolean {
    if (this.shared === null) return true;
    const low = this.shared.take();
    this.counterLow = low;
    return low >= 0;
  }

  /** Moves the counter on; call once for each message, before anything else can be sealed. */
  advance(): void {
    if (this.shared !== null) return;
    if (this.counterLow === 0xffff_ffff) {
      this.counterLow = 0;
      this.counterHigh++;
    } else {
      this.counterLow++;
    }
  }

  /** Whether, having sent, this end should begin a new handshake. */
  isStaleForSending(now: number): boolean {
    return this.counterHigh >= REKEY_AFTER_MESSAGES_HIGH ||
      (this.isInitiator && now - this.createdAt >= REKEY_AFTER_TIME);
  }

  /** Whether, having received, this end should begin a new handshake before the key runs out under it. */
  isStaleForReceiving(now: number): boolean {
    return this.isInitiator && now - this.createdAt >= REKEY_AFTER_TIME_RECEIVING;
  }

  /** Zeroes both keys. */
  destroy(): void {
    this.sending.destroy();
    this.receiving.destroy();
  }
}
