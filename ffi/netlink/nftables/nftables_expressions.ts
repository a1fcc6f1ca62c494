/**
 * Nftables expressions: rules are made of loads into a register, comparisons and statements
 * (`linux/netfilter/nf_tables.h`). They are those that `nft` makes of the same words, so that it lists them as such.
 */
import { AF_INET6, ETH_P_IP, IFNAMSIZ, IPPROTO_ICMP } from "../../socket_constants.ts";
import {
  type AddressFamily,
  type IpAddress,
  type IpPrefix,
  ipv4FromNumber,
} from "../ip_address.ts";
import type { MessageBuilder } from "../message.ts";
import {
  NF_ACCEPT,
  NF_DROP,
  NFTA_DATA_VALUE,
  NFTA_DATA_VERDICT,
  NFTA_EXPR_DATA,
  NFTA_EXPR_NAME,
  NFTA_VERDICT_CODE,
  RTN_LOCAL,
} from "./attributes.ts";

/** Both ends included, host order. */
interface Ports {
  readonly first: number;
  readonly last: number;
}

/** Appends an expression to a rule's list. */
export type Expression = (list: MessageBuilder) => void;

const NFTA_LIST_ELEM = 1;

/** The register that decides about the packet, and the one that values are loaded into. */
const NFT_REG_VERDICT = 0;
export const NFT_REG_1 = 1;

const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;
const NFTA_META_SREG = 3;
const NFT_META_PROTOCOL = 1;
const NFT_META_MARK = 3;
const NFT_META_IIFNAME = 6;
const NFT_META_OIFNAME = 7;
const NFT_META_NFPROTO = 15;
const NFT_META_L4PROTO = 16;

const NFTA_FIB_DREG = 1;
const NFTA_FIB_RESULT = 2;
const NFTA_FIB_FLAGS = 3;
const NFT_FIB_RESULT_ADDRTYPE = 3;
const NFTA_FIB_F_DADDR = 1 << 1;

const NFTA_PAYLOAD_DREG = 1;
const NFTA_PAYLOAD_BASE = 2;
const NFTA_PAYLOAD_OFFSET = 3;
const NFTA_PAYLOAD_LEN = 4;
export const NFT_PAYLOAD_NETWORK_HEADER = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER = 2;

const NFTA_CMP_SREG = 1;
const NFTA_CMP_OP = 2;
const NFTA_CMP_DATA = 3;
export const NFT_CMP_EQ = 0;
export const NFT_CMP_NEQ = 1;
const NFT_CMP_LTE = 3;
const NFT_CMP_GTE = 5;

const NFTA_CT_DREG = 1;
const NFTA_CT_KEY = 2;
const NFT_CT_STATE = 0;
/** Bits of the state (`NF_CT_STATE_BIT()`), host order: invalid and untracked, established and related. */
const CT_INVALID_OR_UNTRACKED = 1 << 0 | 1 << 6;
const CT_ESTABLISHED_OR_RELATED = 1 << 1 | 1 << 2;

const NFTA_BITWISE_SREG = 1;
const NFTA_BITWISE_DREG = 2;
const NFTA_BITWISE_LEN = 3;
const NFTA_BITWISE_MASK = 4;
const NFTA_BITWISE_XOR = 5;

const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;

const NFTA_QUEUE_NUM = 1;
const NFTA_QUEUE_TOTAL = 2;
const NFTA_QUEUE_FLAGS = 3;
const NFTA_TARGET_NAME = 1;
const NFTA_TARGET_REV = 2;
const NFTA_TARGET_INFO = 3;
/** `struct xt_NFQ_info_v3 { u16 queuenum, queues_total, flags; }`, host order, padded to a multiple of 8. */
const XT_NFQ_INFO_SIZE = 8;
const XT_NFQ_REVISION = 3;

/** Offsets and lengths in an IPv4 header, and of the port in TCP's and UDP's. */
const IPV4_FRAGMENT = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 6, length: 2 };
const IPV4_SOURCE = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 12, length: 4 };
const IPV4_DESTINATION = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 16, length: 4 };
const SOURCE_PORT = { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 2 };
export const DESTINATION_PORT = { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2 };
const IPV6_SOURCE = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 8, length: 16 };
const IPV6_DESTINATION = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 24, length: 16 };
const ICMP_TYPE = { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 1 };
/**
 * Of the packet that an ICMP error quotes behind its own eight bytes (RFC 792): protocol, and source port behind a
 * header of 20 bytes.
 */
const QUOTED_PROTOCOL = { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 8 + 9, length: 1 };
const QUOTED_SOURCE_PORT = { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 8 + 20, length: 2 };
const FRAGMENT_OFFSET_MASK = Uint8Array.of(0x1f, 0xff);

/** `meta protocol ip`: needed before looking at IPv4 headers where other protocols pass as well. */
export function isIpv4(): Expression[] {
  return etherTypeIs(ETH_P_IP);
}

/** `meta protocol T`. */
export function etherTypeIs(type: number): Expression[] {
  return [meta(NFT_META_PROTOCOL), compare(NFT_CMP_EQ, Uint8Array.of(type >> 8, type & 0xff))];
}

/** `meta nfproto ipv4` or `ipv6`: the same in tables of family inet. */
export function familyIs(family: AddressFamily): Expression[] {
  return [meta(NFT_META_NFPROTO), compare(NFT_CMP_EQ, Uint8Array.of(family))];
}

/** `ip daddr A` (host order), or `ip6 daddr A` (16 bytes). */
export function destinationIs(address: number | IpAddress): Expression[] {
  return typeof address === "number"
    ? [payload(IPV4_DESTINATION), compare(NFT_CMP_EQ, ipv4FromNumber(address))]
    : [payload(IPV6_DESTINATION), compare(NFT_CMP_EQ, address)];
}

/** `ip saddr A/N`, or `ip6 saddr A/N`. */
export function sourceIsIn({ address, length }: IpPrefix): Expression[] {
  const prefixMask = address.map((_, i) => 0xff00 >> Math.max(0, Math.min(8, length - 8 * i)));
  const network = address.map((byte, i) => byte & prefixMask[i]!);
  const load = payload(address.length === 4 ? IPV4_SOURCE : IPV6_SOURCE);
  if (length === 8 * address.length) return [load, compare(NFT_CMP_EQ, network)];
  return [load, mask(prefixMask), compare(NFT_CMP_EQ, network)];
}

/** `meta l4proto P`. */
export function transportIs(protocol: number): Expression[] {
  return [meta(NFT_META_L4PROTO), compare(NFT_CMP_EQ, Uint8Array.of(protocol))];
}

/** Ports at both ends; those of an end that is left out do not matter. */
export interface TransportPorts {
  readonly source?: Ports | undefined;
  readonly destination?: Ports | undefined;
}

/**
 * `ip frag-off & 0x1fff == 0 meta l4proto P th sport F-L th dport F-L`, of IPv4 alone.
 *
 * The fragment offset comes first: a fragment other than a packet's first has no ports, and the kernel compares
 * whatever bytes stand in their place (at netdev ingress, seen from 5.10 to 6.18), so that it would hit the fragments
 * of others.
 */
export function ipv4PortsAre(protocol: number, ports: TransportPorts): Expression[] {
  return [...fragmentOffset(NFT_CMP_EQ), ...transportIs(protocol), ...portsAre(ports)];
}

/** `meta nfproto ipv6 meta l4proto P th sport F-L th dport F-L`, in tables of family inet. */
export function ipv6PortsAre(protocol: number, ports: TransportPorts): Expression[] {
  return [...familyIs(AF_INET6), ...transportIs(protocol), ...portsAre(ports)];
}

/** `meta l4proto icmp icmp type T`, or the same of icmpv6. */
export function icmpTypeIs(protocol: number, type: number): Expression[] {
  const load = payload(ICMP_TYPE);
  return [...transportIs(protocol), load, compare(NFT_CMP_EQ, Uint8Array.of(type))];
}

/** `ip frag-off & 0x1fff != 0`: a fragment that is not the first. */
export function hasFragmentOffset(): Expression[] {
  return fragmentOffset(NFT_CMP_NEQ);
}

/** `icmp type T`, with a quotation of an IPv4 packet that was sent by a protocol from one of these ports. */
export function isErrorAbout(type: number, protocol: number, ports: Ports): Expression[] {
  return [
    ...fragmentOffset(NFT_CMP_EQ),
    ...icmpTypeIs(IPPROTO_ICMP, type),
    payload(QUOTED_PROTOCOL),
    compare(NFT_CMP_EQ, Uint8Array.of(protocol)),
    ...isInRange(payload(QUOTED_SOURCE_PORT), ports),
  ];
}

/** `fib daddr type local`: the packet is for this host itself, as far as is known before it is routed. */
export function destinationIsLocal(): Expression[] {
  return [
    expression("fib", (data) =>
      data.be32(NFTA_FIB_DREG, NFT_REG_1)
        .be32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE)
        .be32(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR)),
    compare(NFT_CMP_EQ, hostOrder(RTN_LOCAL)),
  ];
}

/** `meta mark M`. */
export function markIs(mark: number): Expression[] {
  return [meta(NFT_META_MARK), compare(NFT_CMP_EQ, hostOrder(mark))];
}

/** `meta mark set M`. */
export function setMark(mark: number): Expression[] {
  return [
    immediate(NFT_REG_1, hostOrder(mark)),
    expression(
      "meta",
      (data) => data.be32(NFTA_META_KEY, NFT_META_MARK).be32(NFTA_META_SREG, NFT_REG_1),
    ),
  ];
}

/** `iifname "N"`. */
export function inputDeviceIs(name: string): Expression[] {
  return [meta(NFT_META_IIFNAME), compare(NFT_CMP_EQ, interfaceName(name))];
}

/** `iifname != "N"`. */
export function inputDeviceIsNot(name: string): Expression[] {
  return [meta(NFT_META_IIFNAME), compare(NFT_CMP_NEQ, interfaceName(name))];
}

/** `oifname "N"`. */
export function outputDeviceIs(name: string): Expression[] {
  return [meta(NFT_META_OIFNAME), compare(NFT_CMP_EQ, interfaceName(name))];
}

/** `counter`. */
export function counter(): Expression {
  return expression("counter");
}

/** `ct state established,related`. */
export function isAnswer(): Expression[] {
  return connectionHas(NFT_CT_STATE, CT_ESTABLISHED_OR_RELATED);
}

/** `ct state invalid,untracked`: of no connection, so that nothing translates it. */
export function isOfNoConnection(): Expression[] {
  return connectionHas(NFT_CT_STATE, CT_INVALID_OR_UNTRACKED);
}

/** `drop`. */
export function drop(): Expression {
  return verdict(NF_DROP);
}

/** `accept`: no later rule of the chain is asked, those of other chains are. */
export function accept(): Expression {
  return verdict(NF_ACCEPT);
}

/** `notrack`. */
export function notrack(): Expression {
  return expression("notrack");
}

/** `queue num N`, never bypassed. */
export function queue(number: number): Expression {
  return expression(
    "queue",
    (data) => data.be16(NFTA_QUEUE_NUM, number).be16(NFTA_QUEUE_TOTAL, 1).be16(NFTA_QUEUE_FLAGS, 0),
  );
}

/** The same by the NFQUEUE target of iptables, for kernels without nftables' own statement (nft_compat). */
export function xtablesQueue(number: number): Expression {
  const info = new Uint8Array(XT_NFQ_INFO_SIZE);
  info.set(new Uint8Array(Uint16Array.of(number, 1, 0).buffer));
  return expression("target", (data) =>
    data.string(NFTA_TARGET_NAME, "NFQUEUE")
      .be32(NFTA_TARGET_REV, XT_NFQ_REVISION)
      .bytes(NFTA_TARGET_INFO, info));
}

/** Puts a value into a register. */
export function immediate(register: number, bytes: Uint8Array): Expression {
  return put(register, (value) => value.bytes(NFTA_DATA_VALUE, bytes));
}

function verdict(code: number): Expression {
  const fill = (content: MessageBuilder) => content.be32(NFTA_VERDICT_CODE, code);
  return put(NFT_REG_VERDICT, (value) => value.nested(NFTA_DATA_VERDICT, fill));
}

function put(register: number, fill: (value: MessageBuilder) => void): Expression {
  return expression(
    "immediate",
    (data) => data.be32(NFTA_IMMEDIATE_DREG, register).nested(NFTA_IMMEDIATE_DATA, fill),
  );
}

/** Compares a fragment's offset with 0. */
function fragmentOffset(operation: number): Expression[] {
  return [
    payload(IPV4_FRAGMENT),
    mask(FRAGMENT_OFFSET_MASK),
    compare(operation, new Uint8Array(FRAGMENT_OFFSET_MASK.length)),
  ];
}

/** `th dport P`, behind `transportIs()`. */
export function destinationPortIs(port: number): Expression[] {
  return portsAre({ destination: { first: port, last: port } });
}

function portsAre({ source, destination }: TransportPorts): Expression[] {
  return [
    ...source === undefined ? [] : isInRange(payload(SOURCE_PORT), source),
    ...destination === undefined ? [] : isInRange(payload(DESTINATION_PORT), destination),
  ];
}

/** Whether what is loaded is one of these ports. */
export function isInRange(load: Expression, { first, last }: Ports): Expression[] {
  const port = (value: number) => Uint8Array.of(value >>> 8, value);
  if (first === last) return [load, compare(NFT_CMP_EQ, port(first))];
  return [load, compare(NFT_CMP_GTE, port(first)), compare(NFT_CMP_LTE, port(last))];
}

function meta(key: number): Expression {
  return expression(
    "meta",
    (data) => data.be32(NFTA_META_KEY, key).be32(NFTA_META_DREG, NFT_REG_1),
  );
}

/** Loads bytes of a header. */
export function payload(
  { base, offset, length }: { base: number; offset: number; length: number },
): Expression {
  return expression("payload", (data) =>
    data.be32(NFTA_PAYLOAD_DREG, NFT_REG_1)
      .be32(NFTA_PAYLOAD_BASE, base)
      .be32(NFTA_PAYLOAD_OFFSET, offset)
      .be32(NFTA_PAYLOAD_LEN, length));
}

/** Compares what is loaded. */
export function compare(operation: number, value: Uint8Array): Expression {
  return expression("cmp", (data) =>
    data.be32(NFTA_CMP_SREG, NFT_REG_1)
      .be32(NFTA_CMP_OP, operation)
      .nested(NFTA_CMP_DATA, (content) => content.bytes(NFTA_DATA_VALUE, value)));
}

/** Whether connection tracking has one of these bits under a key. */
export function connectionHas(key: number, bits: number): Expression[] {
  const value = hostOrder(bits);
  return [
    expression("ct", (data) => data.be32(NFTA_CT_KEY, key).be32(NFTA_CT_DREG, NFT_REG_1)),
    mask(value),
    compare(NFT_CMP_NEQ, new Uint8Array(value.length)),
  ];
}

/** A number as the kernel has it in a register. */
function hostOrder(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Keeps these bits of what is loaded. */
export function mask(bits: Uint8Array): Expression {
  return expression("bitwise", (data) =>
    data.be32(NFTA_BITWISE_SREG, NFT_REG_1)
      .be32(NFTA_BITWISE_DREG, NFT_REG_1)
      .be32(NFTA_BITWISE_LEN, bits.length)
      .nested(NFTA_BITWISE_MASK, (content) => content.bytes(NFTA_DATA_VALUE, bits))
      .nested(
        NFTA_BITWISE_XOR,
        (content) => content.bytes(NFTA_DATA_VALUE, new Uint8Array(bits.length)),
      ));
}

export function expression(name: string, fill?: (data: MessageBuilder) => void): Expression {
  return (list) =>
    list.nested(NFTA_LIST_ELEM, (element) => {
      element.string(NFTA_EXPR_NAME, name);
      if (fill !== undefined) element.nested(NFTA_EXPR_DATA, fill);
    });
}

/** The name in all 16 bytes that the kernel's register has for it. */
function interfaceName(name: string): Uint8Array {
  const bytes = new Uint8Array(IFNAMSIZ);
  const { read } = new TextEncoder().encodeInto(name, bytes.subarray(0, IFNAMSIZ - 1));
  if (read < name.length) {
    throw new TypeError(`Cannot use interface name "${name}": it is too long`);
  }
  return bytes;
}
