/**
 * Inner tables: keeps packets for a tunnel's inner addresses from arriving by other interfaces, and ARP from telling of
 * them.
 */
import {
  NF_ARP_IN,
  NF_INET_PRE_ROUTING,
  PRIORITY_FILTER,
  PRIORITY_RAW,
} from "../../../ffi/netlink/nftables/hooks.ts";
import type { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { arpTargetIs } from "../../../ffi/netlink/nftables/arp_expressions.ts";
import {
  counter,
  destinationIs,
  drop,
  type Expression,
  inputDeviceIsNot,
  ipv4PortsAre,
  ipv6PortsAre,
} from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import type { NftablesChain } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/socket_constants.ts";
import {
  type HostAddress,
  type Ipv6Text,
  isIpv6,
  socketForm,
} from "../../core/wire/host_address.ts";
import { LOOPBACK } from "../../../ffi/netlink/links.ts";

/** What belongs to a tunnel's inside alone. */
export interface InnerTraffic {
  readonly table: string;
  /** Name of the tunnel's interface; it need not be there yet. */
  readonly device: string;
  /** This host's addresses in the tunnel and nowhere else, host order. */
  readonly addresses: readonly number[];
  /** The same of IPv6; null where the tunnel has none. */
  readonly addresses6: readonly Ipv6Text[] | null;
  /** Services of the tunnel at addresses that another interface has as well. */
  readonly services: readonly InnerService[];
}

export interface InnerService {
  readonly address: HostAddress;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

/**
 * Keeps packets for this host's addresses inside a tunnel from arriving by any other interface: Linux takes a packet
 * for whichever of the host's addresses by whichever interface (the weak host model, RFC 1122 section 3.3.4.2), so
 * neighbours on every link would reach the services there, and could probe and forge connections inside the tunnel
 * (CVE-2019-14899). The host's own packets to its own addresses come by loopback. Replaces the table of the last call.
 */
export function installInnerGuard(
  nftables: Nftables,
  { table, device, addresses, addresses6, services }: InnerTraffic,
): void {
  const matching = (own: readonly HostAddress[], shared: readonly InnerService[]) => [
    ...own.map((address) => destinationIs(socketForm(address))),
    ...shared.map(serviceIs),
  ];
  const chain = (matches: readonly Expression[][]): NftablesChain => ({
    name: "prerouting",
    hook: { type: "filter", hook: NF_INET_PRE_ROUTING, priority: PRIORITY_RAW },
    rules: matches.map((match) => [
      ...inputDeviceIsNot(device),
      ...inputDeviceIsNot(LOOPBACK),
      ...match,
      counter(),
      drop(),
    ]),
  });
  const services6 = services.filter(({ address }) => isIpv6(address));
  const services4 = services.filter(({ address }) => !isIpv6(address));
  nftables.replaceTable({ family: "ip", name: table }, chain(matching(addresses, services4)));
  if (addresses6 === null) return;
  nftables.replaceTable({ family: "ip6", name: table }, chain(matching(addresses6, services6)));
}

function serviceIs({ address, protocol, port }: InnerService): Expression[] {
  const number = protocol === "tcp" ? IPPROTO_TCP : IPPROTO_UDP;
  const ports = { destination: { first: port, last: port } };
  return [
    ...destinationIs(socketForm(address)),
    ...(isIpv6(address) ? ipv6PortsAre : ipv4PortsAre)(number, ports),
  ];
}

/** Answers nobody on a link who asks by ARP who has one of these addresses: that would tell him which they are. */
export function installInnerSilence(
  nftables: Nftables,
  { table, device, addresses }: InnerTraffic,
): void {
  nftables.replaceTable({ family: "arp", name: table }, {
    name: "input",
    hook: { type: "filter", hook: NF_ARP_IN, priority: PRIORITY_FILTER },
    rules: addresses.map((address) => [
      ...inputDeviceIsNot(device),
      ...arpTargetIs(address),
      counter(),
      drop(),
    ]),
  });
}
