/**
 * Gateway tables: keeps packets for the NAT from the host's stack, and the NAT's own packets from connection tracking.
 */
import { ENOENT } from "../../../ffi/errno.ts";
import {
  NF_INET_LOCAL_OUT,
  NF_INET_PRE_ROUTING,
  NF_NETDEV_INGRESS,
  PRIORITY_FILTER,
  PRIORITY_RAW,
} from "../../../ffi/netlink/nftables/hooks.ts";
import type { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import {
  destinationIs,
  drop,
  type Expression,
  hasFragmentOffset,
  inputDeviceIs,
  ipv4PortsAre,
  isIpv4,
  markIs,
  notrack,
  queue,
  transportIs,
  xtablesQueue,
} from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import type { NftablesChain } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { ipv6PortsAtIngress } from "../../../ffi/netlink/nftables/ipv6_ports.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/socket_constants.ts";
import {
  type HostAddress,
  ipv6Bytes,
  type Ipv6Text,
  isIpv6,
} from "../../core/wire/host_address.ts";
import type { PortRange } from "../../core/wire/port_range.ts";

/** Which packets of the outside belong to the NAT. */
export interface CapturedTraffic<Address extends HostAddress = number> {
  /** Name of the interface. */
  readonly device: string;
  /** The gateway's address outside. */
  readonly address: Address;
  readonly ports: {
    readonly tcp: readonly PortRange[];
    readonly udp: readonly PortRange[];
  };
  /** Addresses of IPv4 besides that are published services' alone: all that is for them. None if left out. */
  readonly virtual?: readonly number[];
}

/**
 * Keeps packets for the NAT's ports from the host's stack, which would answer them with RST and ICMP unreachable.
 * Packet sockets of ETH_P_ALL stand before this hook and still see them. Later fragments have no port and pass, be they
 * the host's own or the NAT's: of those, the stack never sees the first, so it assembles nothing, and is silent about
 * it. Replaces the table of the last call.
 */
export function installIngressDrop(
  nftables: Nftables,
  spec: { readonly table: string } & CapturedTraffic<HostAddress>,
): void {
  const { table, device, address, ports, virtual = [] } = spec;
  nftables.replaceTable({ family: "netdev", name: table }, {
    name: "ingress",
    hook: { type: "filter", hook: NF_NETDEV_INGRESS, priority: PRIORITY_FILTER, device },
    rules: isIpv6(address) ? ingressRules6(address, ports) : [
      ...portRules([...isIpv4(), ...destinationIs(address)], ports, drop()),
      ...virtual.map((each) => [...isIpv4(), ...destinationIs(each), drop()]),
    ],
  });
}

function ingressRules6(address: Ipv6Text, { tcp, udp }: CapturedTraffic["ports"]): Expression[][] {
  const isOurs = destinationIs(ipv6Bytes(address));
  const rules = (protocol: number, ranges: readonly PortRange[]) =>
    ranges.flatMap((range) =>
      ipv6PortsAtIngress(protocol, range).map((ports) => [...ports, ...isOurs, drop()])
    );
  return [...rules(IPPROTO_TCP, tcp), ...rules(IPPROTO_UDP, udp)];
}

/**
 * Keeps packets with this mark from being tracked: of a connection whose answers the stack never sees, tracking makes
 * packets out of order (INVALID), which a firewall may drop.
 */
export function installNotrack(
  nftables: Nftables,
  { table, mark }: { readonly table: string; readonly mark: number },
): void {
  // A kernel that was built without IPv6 has no tables of both families.
  const family = nftables.supports("inet") ? "inet" : "ip";
  nftables.replaceTable({ family, name: table }, {
    name: "output",
    hook: { type: "filter", hook: NF_INET_LOCAL_OUT, priority: PRIORITY_RAW },
    rules: [[...markIs(mark), notrack()]],
  });
}

/**
 * Sends packets for the NAT's ports to netfilter queue `queue`, for an `NfQueue` that drops them; ICMP and later
 * fragments, which may be the host's own, to the queue after it, for an `NfQueue` that takes a copy and lets them pass.
 * Never bypassed: without a reader the kernel drops what is queued.
 *
 * @throws {Error} where the kernel has neither nftables' queue statement nor the NFQUEUE target of iptables
 */
export function installQueue(
  nftables: Nftables,
  spec: { readonly table: string; readonly queue: number } & CapturedTraffic,
): void {
  const { table, device, address, ports, virtual = [] } = spec;
  const match = [...inputDeviceIs(device), ...destinationIs(address)];
  const chain = (statement: (number: number) => Expression): NftablesChain => ({
    name: "prerouting",
    hook: { type: "filter", hook: NF_INET_PRE_ROUTING, priority: PRIORITY_RAW },
    rules: [
      [...match, ...hasFragmentOffset(), statement(spec.queue + 1)],
      [...match, ...transportIs(IPPROTO_ICMP), statement(spec.queue + 1)],
      ...portRules(match, ports, statement(spec.queue)),
      ...virtual.map((each) => [
        ...inputDeviceIs(device),
        ...destinationIs(each),
        statement(spec.queue),
      ]),
    ],
  });
  const refusals: string[] = [];
  for (const statement of [queue, xtablesQueue]) {
    try {
      nftables.replaceTable({ family: "ip", name: table }, chain(statement));
      return;
    } catch (error) {
      // An expression that the kernel does not know, also as a module, is ENOENT.
      if (!(error instanceof NetlinkError) || error.errno !== ENOENT) throw error;
      refusals.push(error.message);
    }
  }
  throw new Error(
    "Cannot queue packets: the kernel has neither nftables' queue statement (NFT_QUEUE) nor the NFQUEUE target " +
      `with nft_compat: ${refusals.join("; ")}`,
  );
}

/** One rule for each range of ports. */
function portRules(
  match: readonly Expression[],
  ports: CapturedTraffic["ports"],
  statement: Expression,
): Expression[][] {
  const rules = (protocol: number, ranges: readonly PortRange[]) =>
    ranges.map((range) => [
      ...match,
      ...ipv4PortsAre(protocol, { destination: range }),
      statement,
    ]);
  return [...rules(IPPROTO_TCP, ports.tcp), ...rules(IPPROTO_UDP, ports.udp)];
}
