/**
 * Records between the device's thread and its packet workers: what kinds there are, and where in each what stands. All
 * numbers are little-endian; a path is a `path_record.ts`.
 */
import { PATH_RECORD_SIZE } from "../../transport/path_record.ts";
import { MAX_PEERS } from "../../limits/max_peers.ts";
import { IPV6_SIZE } from "../../wire/host_address.ts";
import { KEY_SIZE } from "../../wire/messages.ts";

export const RecordKind = {
  // To a worker.
  /** A peer has these allowed IPs, or these besides. */
  peerPlaced: 1,
  peerRemoved: 2,
  /** Where a peer is, whether it may be sent packets there, and under which session. */
  peerState: 3,
  /** A session with its keys. */
  session: 4,
  sessionEnded: 5,
  /** Whether packets are watched. */
  watch: 6,
  /** What is kept for a peer beyond its sessions is to be given up: it has gone for now. */
  peerReleased: 14,
  /** The same of IPv6, where the tunnel carries it, behind the record of IPv4. */
  peerPlaced6: 15,

  // Either way: a message that is the other's to take.
  datagram: 7,

  // From a worker.
  /** A message that the device has to know of by itself has been opened. */
  opened: 8,
  /** What has passed between us and a peer since the last time. */
  activity: 9,
  /** A packet for a peer that cannot be sent it now. */
  unsent: 10,
  /** What has been dropped since the last time. */
  drops: 11,
  /** A packet that was watched. */
  watched: 12,
  /** A local address that the host no longer has, by its digest. */
  sourceRefused: 13,
} as const;

/**
 * Shares of a ring that may be full of what anybody can have sent, of what a peer or the host has any amount of, and of
 * what shows that a peer has moved, which a hostile one does with each message: none keeps out new sessions and sums.
 */
export const STRANGERS_SHARE: number = 1 / 4;
export const PACKETS_SHARE: number = 1 / 2;
const MOVES_SHARE: number = 3 / 4;
const WHOLE_RING = 1;

/** The share that what is told of a message may fill. */
export function openedShare(isFirst: boolean, isControl: boolean): number {
  if (isFirst) return WHOLE_RING;
  return isControl ? PACKETS_SHARE : MOVES_SHARE;
}

/**
 * The index of a peer stands first in each record that is about one; where it is placed, and in what workers tell, its
 * tag: the index, and above that what tells it from peers that had the index before. A worker may not have heard yet
 * that one of them is gone.
 */
export const PEER = 0;
export const TAG_INDEX_BITS: number = 32 - Math.clz32(MAX_PEERS);

/**
 * Allowed IPs: whether those before them are gone; the peer's worker; whose access rules it has; an address and a
 * length for each.
 */
export const PLACED_IS_FIRST = 4;
export const PLACED_WORKER = 8;
export const PLACED_ACCESS_ID = 12;
export const PLACED_PREFIXES = 16;
export const PREFIX_SIZE = 8;
/** Of IPv6, there is the address as it stands in packets, and a length. */
export const PREFIX6_SIZE: number = IPV6_SIZE + 4;
/** Prefixes in one record. */
export const MAX_PREFIXES = 256;

export const STATE_FLAGS = 4;
/** Packets go out: a session is there, and the endpoint proven. */
export const STATE_IS_OPEN = 1;
/** The peer is ours, and has yet to prove where it is: each message of its is to be told. */
export const STATE_IS_WATCHED = 2;
/** Its quota is used up. */
export const STATE_IS_SPENT = 4;
/** The index of the session in use. */
export const STATE_SESSION = 8;
export const STATE_MTU = 12;
/** Bits a second; 0 for no limit. */
export const STATE_RATE = 16;
export const STATE_PATH = 24;
export const STATE_SIZE: number = STATE_PATH + PATH_RECORD_SIZE;

export const SESSION_LOCAL = 4;
export const SESSION_REMOTE = 8;
export const SESSION_COUNTER_HIGH = 12;
/** Of the word that counters are drawn from. */
export const SESSION_PLACE = 16;
export const SESSION_CREATED = 24;
export const SESSION_SENDING = 32;
/** Zeros where another worker receives. */
export const SESSION_RECEIVING: number = SESSION_SENDING + KEY_SIZE;
export const SESSION_SIZE: number = SESSION_RECEIVING + KEY_SIZE;

export const ENDED_LOCAL = 0;
export const ENDED_SIZE = 4;

/** Bytes of a packet that are watched at most; 0 for none. */
export const WATCH_LENGTH = 0;
export const WATCH_SIZE = 4;

export const DATAGRAM_PATH = 0;
export const DATAGRAM_BYTES: number = PATH_RECORD_SIZE;

export const OPENED_LOCAL = 0;
/** Bytes of the message, and of its packet. */
export const OPENED_LENGTH = 4;
export const OPENED_PACKET_LENGTH = 8;
export const OPENED_COUNTER_HIGH = 12;
/** Whose it was: it may have ended meanwhile. */
export const OPENED_TAG = 16;
export const OPENED_PATH = 20;
/** The packet, where it is a message of ours; only its first byte else. */
export const OPENED_BYTES: number = OPENED_PATH + PATH_RECORD_SIZE;

export const ACTIVITY_FLAGS = 4;
export const ACTIVITY_RECEIVED_DATA = 1;
export const ACTIVITY_SENT_DATA = 2;
export const ACTIVITY_RECEIVED_BYTES = 8;
export const ACTIVITY_SENT_BYTES = 16;
/** Monotonic ms; less than 0 for not at all. */
export const ACTIVITY_RECEIVED_AT = 24;
export const ACTIVITY_SENT_AT = 32;
export const ACTIVITY_RATE_LIMITED = 40;
/** Packets that were to be watched, found no room, and had none of the peer behind them that did. */
export const ACTIVITY_UNWATCHED = 44;
export const ACTIVITY_SIZE = 48;

export const UNSENT_BYTES = 8;

export const WATCHED_DIRECTION = 4;
/** Bytes of the packet, of which there may be fewer here. */
export const WATCHED_LENGTH = 8;
/** Packets of the peer before it that found no room. */
export const WATCHED_MISSED = 12;
export const WATCHED_BYTES = 16;

export const REFUSED_SOURCE = 0;
export const REFUSED_SIZE = 4;

/** A count for each reason, float64. */
export const DROPS_COUNTS = 0;
