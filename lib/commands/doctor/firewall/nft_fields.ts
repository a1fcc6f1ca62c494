/** Fields of a supposed packet that nftables' rules ask for: `meta`, `ct`, `fib`. */
import { RTN_LOCAL } from "../../../../ffi/netlink/nftables/attributes.ts";
import { ETH_P_IP, ETH_P_IPV6 } from "../../../../ffi/socket_constants.ts";
import type { Attributes } from "../../../../ffi/netlink/message.ts";
import { numberOf } from "./nft_verdict.ts";
import type { SupposedPacket } from "./packet.ts";
import { NFT_STATES, trackedState, trackedStatus } from "./tracking.ts";
import type { WalkState } from "./walk.ts";

/** Indexes of interfaces by their names. */
export type LinkIndexes = ReadonlyMap<string, number>;

/**
 * Of what nothing is known: null. What the kernel cannot tell of such a packet, so that no rule matches that asks:
 * `absent`.
 */
export type Field = Uint8Array | null | "absent";

// include/uapi/linux/netfilter/nf_tables.h
const META_PROTOCOL = 1;
export const META_MARK = 3;
const [META_IIF, META_OIF, META_IIFNAME, META_OIFNAME] = [4, 5, 6, 7];
const [META_SKUID, META_SKGID] = [10, 11];
const META_NFPROTO = 15;
const META_L4PROTO = 16;
const META_PKTTYPE = 19;
const [META_IIFGROUP, META_OIFGROUP] = [21, 22];
const META_SECPATH = 25;
const [CT_STATE, CT_DIRECTION, CT_STATUS, CT_MARK] = [0, 1, 2, 3];
const CT_HELPER = 6;
const [CT_L3PROTOCOL, CT_PROTOCOL] = [7, 10];
const CT_PROTO_DST = 12;
const CT_ZONE = 17;
const RT_XFRM = 4;
const [FIB_RESULT_OIF, FIB_RESULT_OIFNAME, FIB_RESULT_ADDRTYPE] = [1, 2, 3];
const [FIB_SADDR, FIB_DADDR, FIB_MARK, FIB_IIF, FIB_PRESENT] = [1, 2, 4, 8, 32];
// include/uapi/linux/rtnetlink.h
const RTN_UNICAST = 1;
const NFPROTO = { ip: 2, ip6: 10 } as const;
const ETHERTYPE = { ip: ETH_P_IP, ip6: ETH_P_IPV6 } as const;
const IFNAME_SIZE = 16;

/** What `meta` gives for a key, the mark apart. */
export function metaField(
  key: number,
  { options, protocol, family }: SupposedPacket,
  links: LinkIndexes,
): Uint8Array | null {
  switch (key) {
    case META_PROTOCOL:
      return Uint8Array.of(ETHERTYPE[family] >>> 8, ETHERTYPE[family] & 0xff);
    case META_NFPROTO:
      return Uint8Array.of(NFPROTO[family]);
    case META_L4PROTO:
      return Uint8Array.of(protocol);
    case META_IIFNAME:
      return nameBytes(options.input);
    case META_OIFNAME:
      return nameBytes(options.output);
    // A rule keeps the index that an interface had when the rule was made: one that is made later is another.
    case META_IIF:
      return options.input === null ? null : host32(links.get(options.input) ?? 0);
    case META_OIF:
      return options.output === null ? null : host32(links.get(options.output) ?? 0);
    // What this host sends here is the work of root.
    case META_SKUID:
    case META_SKGID:
      return options.input === null ? host32(0) : null;
    // The default of interfaces.
    case META_IIFGROUP:
    case META_OIFGROUP:
      return host32(0);
    // PACKET_HOST; and no IPsec.
    case META_PKTTYPE:
    case META_SECPATH:
      return Uint8Array.of(0);
    default:
      return null;
  }
}

/** What `ct` gives for a key. */
export function trackingField(key: number, packet: SupposedPacket, state: WalkState): Field {
  const { protocol, family, options: { isEstablished = false, destinationPort } } = packet;
  if (key === CT_STATE) return host32(NFT_STATES[trackedState(packet, state)]);
  if (state.tracking !== "tracked") return "absent";
  switch (key) {
    case CT_DIRECTION:
      // IP_CT_DIR_REPLY: what goes on with a connection here is an answer.
      return Uint8Array.of(isEstablished ? 1 : 0);
    case CT_STATUS:
      return host32(trackedStatus(packet));
    case CT_MARK:
      return host32(0);
    case CT_HELPER:
      return "absent";
    case CT_L3PROTOCOL:
      return Uint8Array.of(NFPROTO[family]);
    case CT_PROTOCOL:
      return Uint8Array.of(protocol);
    case CT_PROTO_DST:
      return isEstablished ? null : Uint8Array.of(destinationPort >>> 8, destinationPort & 0xff);
    case CT_ZONE:
      return new Uint8Array(2);
    default:
      return null;
  }
}

/** What `rt` gives: nothing is known but that there is no IPsec (NFT_RT_XFRM). */
export function pathField(key: number): Uint8Array | null {
  return key === RT_XFRM ? Uint8Array.of(0) : null;
}

/** What `fib` gives: the type of an address, or by which interface an answer would leave. */
export function routeField(data: Attributes, { options }: SupposedPacket): Uint8Array | null {
  const [result, flags] = [numberOf(data, 2), numberOf(data, 3)];
  const isPresent = (flags & FIB_PRESENT) !== 0;
  if (result === FIB_RESULT_ADDRTYPE) {
    const isLocal = (flags & FIB_DADDR) !== 0 && options.isLocal;
    return host32(isLocal ? RTN_LOCAL : RTN_UNICAST);
  }
  const isOfAnswer = (flags & FIB_SADDR) !== 0 && (flags & FIB_IIF) !== 0;
  const isMissing = isOfAnswer && options.needsMark === true && (flags & FIB_MARK) === 0;
  if (isPresent) return Uint8Array.of(isMissing ? 0 : 1);
  if (!isMissing) return null;
  if (result === FIB_RESULT_OIF) return host32(0);
  return result === FIB_RESULT_OIFNAME ? new Uint8Array(IFNAME_SIZE) : null;
}

function nameBytes(name: string | null): Uint8Array | null {
  if (name === null) return null;
  const bytes = new Uint8Array(IFNAME_SIZE);
  bytes.set(new TextEncoder().encode(name).subarray(0, IFNAME_SIZE - 1));
  return bytes;
}

export function host32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

export function readHost32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}
