/**
 * Simulated middleboxes, each with one of the ways in which real ones treat TCP
 * (lib/core/transport/fake_tcp/README.md).
 */
import type { Bytes } from "../packets/packet_builder.ts";
import type { Random } from "../random.ts";
import type { ConnectionTracking } from "./connection_tracking.ts";
import {
  ACK,
  back,
  build,
  completed,
  type Direction,
  type Middlebox,
  read,
  segmentAt,
  SYN,
} from "./world.ts";

const END = 0;
const NO_OPERATION = 1;
const MSS = 2;
const WINDOW_SCALE = 3;

/** A strict firewall: what it takes for invalid, it drops. */
export function firewall(tracking: ConnectionTracking): Middlebox {
  return (packet, direction) => tracking.judge(packet, direction) ? [packet] : [];
}

/** Adds numbers of its own to each end's sequence numbers, as firewalls do that do not trust hosts' ISNs. */
export function renumber(up: number, down: number): Middlebox {
  return (packet, direction) =>
    changed(packet, (view, at) => {
      const [ahead, behind] = direction === "up" ? [up, down] : [down, up];
      view.setUint32(at + 4, view.getUint32(at + 4) + ahead);
      if ((view.getUint8(at + 13) & ACK) !== 0) {
        view.setUint32(at + 8, view.getUint32(at + 8) - behind);
      }
    });
}

/** Takes an option out of SYN and SYN/ACK, or out of one of them. */
export function stripWindowScale(direction?: Direction): Middlebox {
  return (packet, way) =>
    direction !== undefined && way !== direction
      ? [packet]
      : withOptions(packet, (kind, view, at) => {
        if (kind === WINDOW_SCALE) {
          for (let i = 0; i < 3; i++) view.setUint8(at + i, NO_OPERATION);
        }
      });
}

/** Lowers the MSS in SYN and SYN/ACK. */
export function clampMss(limit: number): Middlebox {
  return (packet) =>
    withOptions(packet, (kind, view, at) => {
      if (kind === MSS) view.setUint16(at + 2, Math.min(limit, view.getUint16(at + 2)));
    });
}

/** Puts the client behind another address and port. */
export function masquerade(address: number, port: number): Middlebox {
  let inner: [number, number] | null = null;
  return (packet, direction) =>
    changed(packet, (view, at) => {
      const destination = at === 40 ? 28 : 16;
      if (direction === "up") {
        inner = [view.getInt32(12), view.getUint16(at)];
        view.setInt32(12, address);
        view.setUint16(at, port);
      } else if (inner !== null) {
        view.setInt32(destination, inner[0]);
        view.setUint16(at + 2, inner[1]);
      }
    });
}

/** Sends each packet of a kind twice. */
export function duplicate(isOfKind: (packet: Bytes) => boolean): Middlebox {
  return (packet) => isOfKind(packet) ? [packet, packet.slice()] : [packet];
}

/** Drops the first few of a kind. */
export function eat(
  count: number,
  isOfKind: (packet: Bytes, direction: Direction) => boolean,
): Middlebox {
  return (packet, direction) => {
    if (count === 0 || !isOfKind(packet, direction)) return [packet];
    count--;
    return [];
  };
}

/** Lets one pure ACK of several through, as links do that are narrow in one direction. */
export function thinAcks(every: number): Middlebox {
  let count = 0;
  return (packet) => isPureAck(packet) && ++count % every !== 0 ? [] : [packet];
}

/** Changes the order of packets at random, by holding one back until the next comes. */
export function swap(random: Random, probability: number): Middlebox {
  const held: Record<Direction, Bytes | null> = { up: null, down: null };
  return (packet, direction) => {
    const before = held[direction];
    held[direction] = null;
    if (before !== null) return [packet, before];
    if (!random.chance(probability) || !isData(packet)) return [packet];
    held[direction] = packet;
    return [];
  };
}

/**
 * What Linux's SYNPROXY does with clients that have no time stamps: it answers the SYN itself, without a window and
 * without scaling; only what comes then makes it call the server, with the ack field filled; its numbers and the
 * server's differ from then on. Everything that comes in between is eaten.
 */
export function synProxy(ownIss: number): Middlebox {
  let state: "listening" | "answered" | "calling" | "open" = "listening";
  let shift = 0;
  return (packet, direction, reply) => {
    const segment = read(packet);
    const isCall = (segment.flags & SYN) !== 0;
    if (state === "open" && !isCall) {
      return changed(packet, (view, at) => {
        if (direction === "up") view.setUint32(at + 8, view.getUint32(at + 8) + shift);
        else view.setUint32(at + 4, view.getUint32(at + 4) - shift);
      });
    }
    const options = mssOption(1460);
    if (direction === "up") {
      if (isCall) {
        state = "answered";
        const answer = { flags: SYN | ACK, seq: ownIss, ack: segment.seq + 1, window: 0, options };
        reply(build({ ...back(segment), ...answer }));
        return [];
      }
      if (state !== "answered" || segment.ack !== (ownIss + 1) >>> 0) return [];
      state = "calling";
      const { seq, ack } = segment;
      const call = { flags: SYN, seq: seq - 1, ack: ack - 1, payload: new Uint8Array(), options };
      return [build({ ...segment, ...call })];
    }
    if (!isCall || state === "open") return [];
    state = "open";
    shift = (segment.seq - ownIss) | 0;
    reply(build({ ...back(segment), seq: segment.ack, ack: segment.seq + 1 }));
    return [build({ ...segment, flags: ACK, seq: ownIss + 1, options: new Uint8Array() })];
  };
}

export function isSyn(packet: Bytes): boolean {
  return (flagsOf(packet) & (SYN | ACK)) === SYN;
}

export function isSynAck(packet: Bytes): boolean {
  return (flagsOf(packet) & (SYN | ACK)) === (SYN | ACK);
}

export function isPureAck(packet: Bytes): boolean {
  return flagsOf(packet) === ACK && packet.length === segmentAt(packet) + 20;
}

export function isData(packet: Bytes): boolean {
  return (flagsOf(packet) & SYN) === 0 && packet.length > segmentAt(packet) + 20;
}

function flagsOf(packet: Bytes): number {
  return packet[segmentAt(packet) + 13]!;
}

/** A copy of a packet with something changed, and its checksums right. */
function changed(packet: Bytes, change: (view: DataView, segment: number) => void): Bytes[] {
  const copy = packet.slice();
  change(new DataView(copy.buffer), segmentAt(copy));
  return [completed(copy)];
}

/** The same for each option of SYN and SYN/ACK. */
function withOptions(
  packet: Bytes,
  change: (kind: number, view: DataView, at: number) => void,
): Bytes[] {
  if ((flagsOf(packet) & SYN) === 0) return [packet];
  return changed(packet, (view, segment) => {
    for (let at = segment + 20; at < packet.length && packet[at] !== END;) {
      const [kind, size] = [packet[at]!, packet[at] === NO_OPERATION ? 1 : packet[at + 1]!];
      change(kind, view, at);
      at += size;
    }
  });
}

function mssOption(size: number): Bytes {
  return Uint8Array.of(MSS, 4, size >> 8, size & 255);
}
