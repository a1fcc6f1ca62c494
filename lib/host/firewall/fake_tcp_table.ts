/**
 * Fake-TCP table: keeps the segments of a tunnel over fake TCP from the host's own TCP and from connection tracking.
 */
import {
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  PRIORITY_RAW,
} from "../../../ffi/netlink/nftables/hooks.ts";
import { ipv4FromNumber } from "../../../ffi/netlink/ip_address.ts";
import type { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import {
  destinationIs,
  drop,
  ipv4PortsAre,
  notrack,
  sourceIsIn,
} from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import { IPPROTO_TCP } from "../../../ffi/socket_constants.ts";
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";

/**
 * Keeps a fake-TCP transport's segments from the host's TCP, which would answer them with RST, and those that it sends
 * from being tracked: what leaves by a packet socket, tracking does not see, and would take the rest for INVALID. By
 * the hook for packets to this host, on all interfaces and addresses, so that nothing that is only forwarded is
 * touched. Replaces the table of the last call.
 */
export function installFakeTcpTable(
  nftables: Nftables,
  { table, ports, remote }: { readonly table: string } & FakeTcpEndpoints,
): void {
  const remotePort = remote === null ? undefined : { first: remote.port, last: remote.port };
  const remoteAddress = remote === null
    ? null
    : { address: ipv4FromNumber(remote.address), length: 32 };
  const input = ipv4PortsAre(IPPROTO_TCP, { source: remotePort, destination: ports });
  const output = ipv4PortsAre(IPPROTO_TCP, { source: ports, destination: remotePort });
  nftables.replaceTable({ family: "ip", name: table }, {
    name: "input",
    hook: { type: "filter", hook: NF_INET_LOCAL_IN, priority: PRIORITY_RAW },
    rules: [[...remoteAddress === null ? [] : sourceIsIn(remoteAddress), ...input, drop()]],
  }, {
    name: "output",
    hook: { type: "filter", hook: NF_INET_LOCAL_OUT, priority: PRIORITY_RAW },
    rules: [[...remote === null ? [] : destinationIs(remote.address), ...output, notrack()]],
  });
}
