/**
 * Fake-TCP table: keeps the segments of a tunnel over fake TCP from the host's own TCP and from connection tracking.
 */
import {
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  PRIORITY_RAW,
} from "../../../ffi/netlink/nftables/hooks.ts";
import type { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import {
  destinationIs,
  drop,
  ipv4PortsAre,
  ipv6PortsAre,
  notrack,
  sourceIsIn,
  type TransportPorts,
} from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import type { NftablesTable } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { IPPROTO_TCP } from "../../../ffi/socket_constants.ts";
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import { addressBytes, isIpv6, socketForm } from "../../core/wire/host_address.ts";

/**
 * Keeps a fake-TCP transport's segments from the host's TCP, which would answer them with RST, and those that it sends
 * from being tracked: what leaves by a packet socket, tracking does not see, and would take the rest for INVALID. By
 * the hook for packets to this host, on all interfaces and addresses, so that nothing that is only forwarded is
 * touched. Replaces the table of the last call; one of a family that the segments do not have drops nothing.
 */
export function installFakeTcpTable(
  nftables: Nftables,
  table: NftablesTable,
  { ports, remote }: FakeTcpEndpoints,
): void {
  const isOfFamily = remote === null || isIpv6(remote.address) === (table.family === "ip6");
  const remotePort = remote === null ? undefined : { first: remote.port, last: remote.port };
  const portsAre = (expected: TransportPorts) =>
    table.family === "ip6"
      ? ipv6PortsAre(IPPROTO_TCP, expected)
      : ipv4PortsAre(IPPROTO_TCP, expected);
  const input = portsAre({ source: remotePort, destination: ports });
  const output = portsAre({ source: ports, destination: remotePort });
  const address = remote === null ? null : addressBytes(remote.address);
  const from = address === null ? [] : sourceIsIn({ address, length: 8 * address.length });
  const to = remote === null ? [] : destinationIs(socketForm(remote.address));
  nftables.replaceTable(table, {
    name: "input",
    hook: { type: "filter", hook: NF_INET_LOCAL_IN, priority: PRIORITY_RAW },
    rules: isOfFamily ? [[...from, ...input, drop()]] : [],
  }, {
    name: "output",
    hook: { type: "filter", hook: NF_INET_LOCAL_OUT, priority: PRIORITY_RAW },
    rules: isOfFamily ? [[...to, ...output, notrack()]] : [],
  });
}
