/**
 * Heartbeat between gateways: that one is there, whom it hears, and whom it wants to hold the virtual address.
 *
 * ```text
 *  4  flags                    1    8  generation     4   28  fleet's time  8, IEEE 754
 *  5  vote                     1   12  sequence       4   36  hears         32, a bit for each gateway,
 *  6  holder                   1   16  term           4        the lowest bit of the first byte is 0's
 *  7  zero                     1   20  clock          8, IEEE 754   68  voters        32, the same
 * ```
 */
import { FRAME_SIZE, meshBodySize, MeshKind, meshKind, writeFrame } from "./mesh_messages.ts";

export interface GatewayHeartbeat {
  /** Random, drawn at the sender's start; and a count from 1 on: what comes late is known by them, and a restart. */
  readonly generation: number;
  readonly sequence: number;
  /** It is to be answered by another one at once. */
  readonly asks: boolean;
  readonly reachesStore: boolean;
  /** The sender takes nothing that another can have. */
  readonly isDraining: boolean;
  /** The sender has the virtual address. */
  readonly holds: boolean;
  /** The gateway that the sender wants to have it; null for none. */
  readonly vote: number | null;
  /** The last term that the sender knows of, and whose it is. */
  readonly term: number;
  readonly holder: number | null;
  /** Whether that one may go on by the store's word alone, so that only the store can say who comes after it. */
  readonly needsStore: boolean;
  /** The sender's wall clock, Unix ms. */
  readonly clock: number;
  /** The latest time that a clock in the fleet shows, by what the sender knows, Unix ms. */
  readonly fleetTime: number;
  /** Gateways that the sender hears. */
  readonly hears: ReadonlySet<number>;
  /** Those of the term (`TermEntry.voters`). */
  readonly voters: ReadonlySet<number>;
}

/** Numbers of gateways are below it. */
const MAX_GATEWAYS = 256;

const FLAGS = 4;
const VOTE = 5;
const HOLDER = 6;
const GENERATION = 8;
const SEQUENCE = 12;
const TERM = 16;
const CLOCK = 20;
const FLEET_TIME = 28;
const HEARS = 36;
const SET_SIZE = MAX_GATEWAYS / 8;
const VOTERS = HEARS + SET_SIZE;
const SIZE = VOTERS + SET_SIZE;

const ASKS = 1;
const REACHES_STORE = 2;
const IS_DRAINING = 4;
const HOLDS = 8;
const NEEDS_STORE = 16;
const HAS_VOTE = 32;
const HAS_HOLDER = 64;

/** The whole message. */
export function encodeHeartbeat(heartbeat: GatewayHeartbeat): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  const { vote, holder } = heartbeat;
  writeFrame(view, 0, MeshKind.heartbeat, SIZE - FRAME_SIZE);
  bytes[FLAGS] = (heartbeat.asks ? ASKS : 0) |
    (heartbeat.reachesStore ? REACHES_STORE : 0) |
    (heartbeat.isDraining ? IS_DRAINING : 0) |
    (heartbeat.holds ? HOLDS : 0) |
    (heartbeat.needsStore ? NEEDS_STORE : 0) |
    (vote === null ? 0 : HAS_VOTE) |
    (holder === null ? 0 : HAS_HOLDER);
  bytes[VOTE] = vote ?? 0;
  bytes[HOLDER] = holder ?? 0;
  view.setUint32(GENERATION, heartbeat.generation);
  view.setUint32(SEQUENCE, heartbeat.sequence);
  view.setUint32(TERM, heartbeat.term);
  view.setFloat64(CLOCK, heartbeat.clock);
  view.setFloat64(FLEET_TIME, heartbeat.fleetTime);
  writeSet(bytes, HEARS, heartbeat.hears);
  writeSet(bytes, VOTERS, heartbeat.voters);
  return bytes;
}

function writeSet(bytes: Uint8Array, offset: number, gateways: ReadonlySet<number>): void {
  for (const gateway of gateways) bytes[offset + (gateway >> 3)]! |= 1 << (gateway & 7);
}

/** What a message says; null where it is no heartbeat. A longer one is a later version's, which has more to say. */
export function decodeHeartbeat(bytes: Uint8Array): GatewayHeartbeat | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (meshKind(view, 0, bytes.length) !== MeshKind.heartbeat) return null;
  if (meshBodySize(view, 0) < SIZE - FRAME_SIZE) return null;
  const clock = view.getFloat64(CLOCK);
  const fleetTime = view.getFloat64(FLEET_TIME);
  if (!isTime(clock) || !isTime(fleetTime)) return null;
  const flags = bytes[FLAGS]!;
  return {
    generation: view.getUint32(GENERATION),
    sequence: view.getUint32(SEQUENCE),
    asks: (flags & ASKS) !== 0,
    reachesStore: (flags & REACHES_STORE) !== 0,
    isDraining: (flags & IS_DRAINING) !== 0,
    holds: (flags & HOLDS) !== 0,
    vote: (flags & HAS_VOTE) === 0 ? null : bytes[VOTE]!,
    term: view.getUint32(TERM),
    holder: (flags & HAS_HOLDER) === 0 ? null : bytes[HOLDER]!,
    needsStore: (flags & NEEDS_STORE) !== 0,
    clock,
    fleetTime,
    hears: readSet(bytes, HEARS),
    voters: readSet(bytes, VOTERS),
  };
}

function readSet(bytes: Uint8Array, offset: number): ReadonlySet<number> {
  const gateways = new Set<number>();
  for (let at = 0; at < SET_SIZE; at++) {
    for (let bits = bytes[offset + at]!, gateway = at << 3; bits > 0; bits >>= 1, gateway++) {
      if ((bits & 1) === 1) gateways.add(gateway);
    }
  }
  return gateways;
}

/** Whether a clock can show it: TAI64N has room for that, and arithmetic with it is exact to below a ms. */
function isTime(unixTime: number): boolean {
  return unixTime >= 0 && unixTime < 2 ** 48;
}
