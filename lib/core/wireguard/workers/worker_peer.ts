/** Worker peer: what a packet worker knows of a peer, and what has passed since the device's thread was last told. */
import type { RateLimit } from "../../limits/rate_limit.ts";
import { SharedTokenBucket } from "../../threads/shared_token_bucket.ts";
import { NO_PATH } from "../../transport/paths.ts";
import type { AeadKey } from "../../noise/aead.ts";
import type { Loadable, PacketPeer } from "../packet_peer.ts";
import { Keypair, type KeypairOptions } from "../session/keypair.ts";

/** Words of a peer among those of buckets: what it sends, then what it is sent. */
const BUCKET_WORDS = 4;
const TO_PEER = 2;

/** The words of shared memory that a limit of this many peers takes. */
export function bucketWords(peers: number): number {
  return (peers + 1) * BUCKET_WORDS;
}

/** The limits of a peer, in each direction, which all threads have together. */
export function sharedLimits(
  rate: number,
  words: Int32Array,
  peerIndex: number,
): { from: SharedTokenBucket; to: SharedTokenBucket } {
  const place = peerIndex * BUCKET_WORDS;
  return {
    from: new SharedTokenBucket(rate, words, place),
    to: new SharedTokenBucket(rate, words, place + TO_PEER),
  };
}

/** Stands for the key of what another worker receives. */
export const NO_KEY: AeadKey = {
  prefetch: () => 0,
  seal: () => false,
  open: () => false,
  destroy: () => {},
};

/** A session of a peer. */
export class WorkerSession extends Keypair {
  readonly peer: WorkerPeer;
  /** Whether the device's thread has been told of a message under it: the first confirms the session. */
  isKnown = false;

  constructor(peer: WorkerPeer, options: KeypairOptions) {
    super(options);
    this.peer = peer;
  }
}

export class WorkerPeer implements PacketPeer {
  readonly index: number;
  accessId = 0;
  /** What the device's thread is told of it by (records.ts). */
  readonly tag: number;
  mtu: number;
  /** The worker that receives what comes from it. */
  worker = 0;
  fromLimit: RateLimit<WorkerPeer> | null = null;
  toLimit: RateLimit<WorkerPeer> | null = null;
  rateLimited = 0;
  /** Where it is; held as long as it is there. */
  path: number = NO_PATH;
  /** Whether packets go out to it, and under which session. */
  isOpen = false;
  session: WorkerSession | null = null;
  /** Whether each of its messages is to be told. */
  isWatched = false;
  isRemoved = false;
  source = 0;
  sourceAsOf = -1;
  /** See `PacketPeer`. */
  flow: Loadable | null = null;
  isSpent = false;

  // What has passed since the device's thread was told, if anything has.
  isActive = false;
  hasReceivedData = false;
  hasSentData = false;
  receivedBytes = 0;
  sentBytes = 0;
  receivedAt = -1;
  sentAt = -1;
  unwatched = 0;
  /** What it has had told by itself in a turn, and in which one. */
  toldCount = 0;
  toldIn = -1;

  constructor(index: number, tag: number, mtu: number) {
    this.index = index;
    this.tag = tag;
    this.mtu = mtu;
  }

  /** Takes note of a message that it has sent. */
  noteReceived(bytes: number, isData: boolean, now: number): void {
    this.receivedBytes += bytes;
    this.receivedAt = now;
    if (isData) this.hasReceivedData = true;
  }

  /** Takes note of a packet that it has been sent. */
  noteSent(bytes: number, now: number): void {
    this.sentBytes += bytes;
    this.sentAt = now;
    this.hasSentData = true;
  }

  /** All has been told. */
  forgetActivity(): void {
    this.isActive = this.hasReceivedData = this.hasSentData = false;
    this.receivedBytes = this.sentBytes = 0;
    this.rateLimited = this.unwatched = 0;
    this.receivedAt = this.sentAt = -1;
  }
}
