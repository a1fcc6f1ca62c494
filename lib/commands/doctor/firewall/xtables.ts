/**
 * Matches and targets of iptables, as they stand in the binary form that its translation to nftables keeps
 * (`nft_compat`).
 */
import type { Attributes } from "../../../../ffi/netlink/message.ts";
import { readBe32 } from "../../../../ffi/netlink/nftables/nftables_listing.ts";
import type { SupposedPacket } from "./packet.ts";
import { trackedState, trackedStatus, XT_STATES, xtStates } from "./tracking.ts";
import {
  type Action,
  type Match,
  matchOfKnown,
  matchOfParticular,
  type WalkState,
} from "./walk.ts";

// include/uapi/linux/netfilter/nf_tables_compat.h
const NFTA_NAME = 1;
const NFTA_REVISION = 2;
const NFTA_INFO = 3;
// include/uapi/linux/netfilter/xt_*.h
const INVERTED_SOURCE_PORT = 1;
const INVERTED_DESTINATION_PORT = 2;
const INVERTED_FLAGS = 4;
const MULTIPORT_DESTINATION = 1;
const MULTIPORT_COUNT_AT = 1;
const MULTIPORT_PORTS_AT = 2;
const MULTIPORT_RANGES_AT = 32;
const MULTIPORT_INVERTED_AT = 47;
const CONNTRACK_STATE = 1;
const CONNTRACK_STATUS = 64;
const CONNTRACK_DIRECTION = 4096;
/** That it was written as `-m state`, which is the same. */
const CONNTRACK_STATE_ALIAS = 8192;
const CONNTRACK_FLAGS_AT = 146;
const CONNTRACK_INVERTED_AT = 148;
const CONNTRACK_STATES_AT = 150;
const ADDRTYPE_UNICAST = 1 << 1;
const ADDRTYPE_LOCAL = 1 << 2;
const ADDRTYPE_INVERTED_SOURCE = 1;
const ADDRTYPE_INVERTED_DESTINATION = 2;
/** Offsets of `mode` in the revisions of xt_hashlimit. */
const HASHLIMIT_MODE_AT: Readonly<Record<number, number>> = { 1: 16, 2: 272, 3: 272 };
const HASHLIMIT_ABOVE = 16;
const CONNLIMIT_FLAGS_AT = 20;
const CONNLIMIT_UP_TO = 1;
const RECENT_ACTION_AT = 8;
const RECENT_SET = 2;
const RPFILTER_LOOSE = 1;
const RPFILTER_MARK = 2;
const RPFILTER_INVERTED = 8;
const IPRANGE_FLAGS_AT = 64;
const IPRANGE_INVERTED = 16 | 32;
const SET_FLAGS_AT = 3;
const SET_INVERTED = 4;
const MAC_INVERTED_AT = 8;
const PKTTYPE_HOST = 0;
const OWNER_FLAGS_AT = 16;
const OWNER_UID = 1;
const OWNER_GID = 2;
const POLICY_FLAGS_AT = 304;
const POLICY_NONE = 4;
const TARGET_INFO = 3;

/** Targets that refuse, and those that send a packet elsewhere; all others let the walk go on. */
const REFUSING: ReadonlySet<string> = new Set(["DROP", "REJECT", "TARPIT"]);
const REDIRECTING: ReadonlySet<string> = new Set(["DNAT", "REDIRECT", "TPROXY"]);
const QUEUEING: ReadonlySet<string> = new Set(["NFQUEUE", "QUEUE"]);
/** Matches that hold for any packet of a connection that is no flood. */
const ALWAYS: ReadonlySet<string> = new Set(["comment", "limit"]);

/** Whether a match holds for a packet. */
export function matchOfXtables(data: Attributes, packet: SupposedPacket, state: WalkState): Match {
  const info = data.bytes(NFTA_INFO);
  const name = data.string(NFTA_NAME) ?? "";
  if (ALWAYS.has(name)) return "yes";
  if (info === null) return "unlikely";
  const view = new DataView(info.buffer, info.byteOffset, info.length);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  const { sourcePort, options: { destinationPort, isLocal, needsMark = false } } = packet;
  switch (name) {
    case "udp":
    case "tcp": {
      const inverted = name === "udp" ? info[8]! : info[11]!;
      const source = isBetween(sourcePort, u16(0), u16(2));
      const destination = isBetween(destinationPort, u16(4), u16(6));
      const flags = packet.transport.bytes[13]!;
      const hasFlags = name === "udp" || (flags & info[9]!) === info[10]!;
      return matchOfKnown(
        source !== ((inverted & INVERTED_SOURCE_PORT) !== 0) &&
          destination !== ((inverted & INVERTED_DESTINATION_PORT) !== 0) &&
          hasFlags !== (name === "tcp" && (inverted & INVERTED_FLAGS) !== 0),
      );
    }
    case "multiport": {
      const port = info[0] === MULTIPORT_DESTINATION ? destinationPort : sourcePort;
      let holds = false;
      for (let i = 0; i < info[MULTIPORT_COUNT_AT]!; i++) {
        const isRange = info[MULTIPORT_RANGES_AT + i] !== 0;
        const first = u16(MULTIPORT_PORTS_AT + 2 * i);
        const last = isRange ? u16(MULTIPORT_PORTS_AT + 2 * ++i) : first;
        holds ||= isBetween(port, first, last);
      }
      return matchOfKnown(holds !== (info[MULTIPORT_INVERTED_AT] !== 0));
    }
    case "conntrack": {
      const revision = numberOf(data, NFTA_REVISION);
      const flags = u16(CONNTRACK_FLAGS_AT) & ~CONNTRACK_STATE_ALIAS;
      // Anything besides these would name an address, a port or a time.
      if ((flags & ~(CONNTRACK_STATE | CONNTRACK_STATUS | CONNTRACK_DIRECTION)) !== 0) {
        return "unlikely";
      }
      const found = trackedState(packet, state);
      const inverted = u16(CONNTRACK_INVERTED_AT);
      const mask = revision < 2 ? info[CONNTRACK_STATES_AT]! : u16(CONNTRACK_STATES_AT);
      const statuses = revision < 2 ? info[CONNTRACK_STATES_AT + 1]! : u16(CONNTRACK_STATES_AT + 2);
      const isEstablished = found === "ESTABLISHED";
      const agrees = (flag: number, holds: boolean) =>
        (flags & flag) === 0 || holds !== ((inverted & flag) !== 0);
      // Without a connection, only its state can be asked for.
      const isTracked = isEstablished || found === "NEW" || flags === CONNTRACK_STATE;
      return matchOfKnown(
        isTracked && agrees(CONNTRACK_STATE, (mask & xtStates(packet, state)) !== 0) &&
          agrees(CONNTRACK_STATUS, (statuses & trackedStatus(packet)) !== 0) &&
          agrees(CONNTRACK_DIRECTION, !isEstablished),
      );
    }
    case "state":
      return matchOfKnown((u32(0) & XT_STATES[trackedState(packet, state)]) !== 0);
    case "addrtype": {
      const [source, destination] = [u16(0), u16(2)];
      const isOld = numberOf(data, NFTA_REVISION) === 0;
      const flags = isOld ? (u32(4) && 1) | (u32(8) && 2) : u32(4);
      const own = isLocal ? ADDRTYPE_LOCAL : ADDRTYPE_UNICAST;
      const holds = (types: number, type: number, inverted: number) =>
        types === 0 || ((types & type) !== 0) !== ((flags & inverted) !== 0);
      return matchOfKnown(
        holds(source, ADDRTYPE_UNICAST, ADDRTYPE_INVERTED_SOURCE) &&
          holds(destination, own, ADDRTYPE_INVERTED_DESTINATION),
      );
    }
    case "hashlimit": {
      const at = HASHLIMIT_MODE_AT[numberOf(data, NFTA_REVISION)];
      // Not used up; `above` matches what is beyond.
      return at !== undefined && (u32(at) & HASHLIMIT_ABOVE) !== 0 ? "unlikely" : "yes";
    }
    case "connlimit":
      return (u32(CONNLIMIT_FLAGS_AT) & CONNLIMIT_UP_TO) !== 0 ? "yes" : "unlikely";
    case "recent":
      return info[RECENT_ACTION_AT] === RECENT_SET
        ? "yes"
        : matchOfParticular(info[RECENT_ACTION_AT + 1] !== 0);
    case "rpfilter": {
      const flags = info[0]!;
      const passes = !needsMark || (flags & (RPFILTER_LOOSE | RPFILTER_MARK)) !== 0;
      return matchOfKnown(passes === ((flags & RPFILTER_INVERTED) === 0));
    }
    case "pkttype":
      return matchOfKnown((u32(0) === PKTTYPE_HOST) !== (u32(4) !== 0));
    case "iprange":
      return matchOfParticular((info[IPRANGE_FLAGS_AT]! & IPRANGE_INVERTED) !== 0);
    case "set":
      return matchOfParticular((info[SET_FLAGS_AT]! & SET_INVERTED) !== 0);
    case "mac":
      return matchOfParticular(u32(MAC_INVERTED_AT) !== 0);
    case "owner":
      return ownerMatch(info, u32);
    case "policy":
      return matchOfKnown((u16(POLICY_FLAGS_AT) & POLICY_NONE) !== 0);
    case "connmark":
      // None has been set.
      return matchOfKnown((u32(0) === 0) !== (info[8] !== 0));
    case "mark": {
      if (state.mark === null) return "unlikely";
      return matchOfKnown((((state.mark & u32(4)) >>> 0) === u32(0)) !== (info[8] !== 0));
    }
    default:
      return "unlikely";
  }
}

/** What this host sends here is the work of root. */
function ownerMatch(info: Uint8Array, u32: (at: number) => number): Match {
  const [flags, inverted] = [info[OWNER_FLAGS_AT]!, info[OWNER_FLAGS_AT + 1]!];
  if ((flags & ~(OWNER_UID | OWNER_GID)) !== 0) return "unlikely";
  return matchOfKnown(
    [[OWNER_UID, 0], [OWNER_GID, 8]].every(([flag, at]) =>
      (flags & flag!) === 0 || (u32(at!) === 0) !== ((inverted & flag!) !== 0)
    ),
  );
}

/** What a target does. */
export function targetOfXtables(data: Attributes): Action {
  return actionOfTarget(data.string(NFTA_NAME) ?? "");
}

/** What a target changes of a packet that the rest of its rule matches. */
export function applyTarget(data: Attributes, state: WalkState): void {
  const name = data.string(NFTA_NAME) ?? "";
  const info = data.bytes(TARGET_INFO);
  if (info === null) return;
  const view = new DataView(info.buffer, info.byteOffset, info.length);
  if (name === "MARK") applyMark(state, view.getUint32(0, true), view.getUint32(4, true));
  const isNotrack = name === "NOTRACK" || name === "CT" && (view.getUint16(0, true) & 1) !== 0;
  if (isNotrack) leaveUntracked(state);
}

/** As `--set-xmark` does. */
export function applyMark(state: WalkState, value: number, mask: number): void {
  if (state.mark !== null) state.mark = ((state.mark & ~mask) ^ value) >>> 0;
}

/** It is too late once connection tracking has seen the packet. */
export function leaveUntracked(state: WalkState): void {
  if (state.tracking === "before") state.tracking = "untracked";
}

/** The same by its name. */
export function actionOfTarget(name: string): Action {
  if (name === "ACCEPT") return { kind: "decide", fate: "accepted" };
  if (name === "RETURN") return { kind: "return" };
  if (REFUSING.has(name)) {
    return { kind: "decide", fate: name === "DROP" ? "dropped" : "rejected" };
  }
  if (QUEUEING.has(name)) return { kind: "decide", fate: "queued" };
  return REDIRECTING.has(name) ? { kind: "decide", fate: "redirected" } : null;
}

function numberOf(data: Attributes, type: number): number {
  const bytes = data.bytes(type);
  return bytes?.length === 4 ? readBe32(bytes) : 0;
}

function isBetween(port: number, first: number, last: number): boolean {
  return port >= first && port <= last;
}
