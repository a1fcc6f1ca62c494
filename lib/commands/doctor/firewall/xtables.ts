/** Matches and targets of iptables, as they stand in the binary form that its translation to nftables keeps (`nft_compat`). */
import type { Attributes } from "../../../../ffi/netlink/message.ts";
import { readBe32 } from "../../../../ffi/netlink/nftables/nftables_listing.ts";
import type { SupposedPacket } from "./packet.ts";
import type { Action, Match, WalkState } from "./walk.ts";

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
const CONNTRACK_FLAGS_AT = 146;
const CONNTRACK_INVERTED_AT = 148;
const CONNTRACK_STATES_AT = 150;
export const STATE_BITS = {
  ESTABLISHED: 2,
  RELATED: 4,
  NEW: 8,
  INVALID: 1,
  UNTRACKED: 256,
} as const;
const ADDRTYPE_LOCAL = 1 << 2;
const ADDRTYPE_INVERTED_DESTINATION = 2;

/** Targets that refuse, and those that send a packet elsewhere; all others let the walk go on. */
const REFUSING: ReadonlySet<string> = new Set(["DROP", "REJECT"]);
const REDIRECTING: ReadonlySet<string> = new Set([
  ...["DNAT", "REDIRECT", "TPROXY", "NFQUEUE", "QUEUE"],
]);
/** Matches that hold for any packet of a connection that is no flood. */
const ALWAYS: ReadonlySet<string> = new Set(["comment", "limit", "hashlimit"]);

/** Whether a match holds for a packet. */
export function matchOfXtables(data: Attributes, packet: SupposedPacket, state: WalkState): Match {
  const info = data.bytes(NFTA_INFO);
  const name = data.string(NFTA_NAME) ?? "";
  if (ALWAYS.has(name)) return "yes";
  if (info === null) return "unlikely";
  const view = new DataView(info.buffer, info.byteOffset, info.length);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  const { sourcePort, options: { destinationPort, isLocal, isEstablished = false } } = packet;
  switch (name) {
    case "udp":
    case "tcp": {
      const inverted = name === "udp" ? info[8]! : info[11]!;
      const source = isBetween(sourcePort, u16(0), u16(2));
      const destination = isBetween(destinationPort, u16(4), u16(6));
      const flags = packet.transport.bytes[13]!;
      const hasFlags = name === "udp" || (flags & info[9]!) === info[10]!;
      return known(
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
      return known(holds !== (info[MULTIPORT_INVERTED_AT] !== 0));
    }
    case "conntrack": {
      const revision = numberOf(data, NFTA_REVISION);
      const flags = u16(CONNTRACK_FLAGS_AT);
      // Anything besides the state would name an address, a port or a time.
      if (flags !== CONNTRACK_STATE) return "unlikely";
      const mask = revision < 2 ? info[CONNTRACK_STATES_AT]! : u16(CONNTRACK_STATES_AT);
      const isInverted = (u16(CONNTRACK_INVERTED_AT) & CONNTRACK_STATE) !== 0;
      return known(hasState(mask, isEstablished) !== isInverted);
    }
    case "state":
      return known(hasState(u32(0), isEstablished));
    case "addrtype": {
      const [source, destination, flags] = [u16(0), u16(2), u32(4)];
      if (source !== 0 || destination === 0) return "unlikely";
      const holds = isLocal === ((destination & ADDRTYPE_LOCAL) !== 0);
      return known(holds !== ((flags & ADDRTYPE_INVERTED_DESTINATION) !== 0));
    }
    case "mark": {
      if (state.mark === null) return "unlikely";
      return known((((state.mark & u32(4)) >>> 0) === u32(0)) !== (info[8] !== 0));
    }
    default:
      return "unlikely";
  }
}

/** What a target does. */
export function targetOfXtables(data: Attributes): Action {
  return actionOfTarget(data.string(NFTA_NAME) ?? "");
}

/** The same by its name. */
export function actionOfTarget(name: string): Action {
  if (name === "ACCEPT") return { kind: "decide", fate: "accepted" };
  if (name === "RETURN") return { kind: "return" };
  if (REFUSING.has(name)) {
    return { kind: "decide", fate: name === "DROP" ? "dropped" : "rejected" };
  }
  return REDIRECTING.has(name) ? { kind: "decide", fate: "redirected" } : null;
}

function hasState(mask: number, isEstablished: boolean): boolean {
  return (mask & (isEstablished ? STATE_BITS.ESTABLISHED : STATE_BITS.NEW)) !== 0;
}

function numberOf(data: Attributes, type: number): number {
  const bytes = data.bytes(type);
  return bytes?.length === 4 ? readBe32(bytes) : 0;
}

function isBetween(port: number, first: number, last: number): boolean {
  return port >= first && port <= last;
}

function known(holds: boolean): Match {
  return holds ? "yes" : "no";
}
