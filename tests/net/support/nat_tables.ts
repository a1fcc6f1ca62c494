/** The tables that a NAT has in a firewall, and packets for its ports, as tests of the firewall need them. */
import { openLibc } from "../../../ffi/libc.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import type { TestNamespace } from "../../support/net.ts";
import { buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { DEVICE, GATEWAY, OUTSIDE } from "../support/outside.ts";
import { parseAddress } from "../../../lib/core/wire/host_address.ts";
import { installIngressDrop } from "../../../lib/host/firewall/gateway_tables.ts";

export const TABLE = "vpn_wg0";
export const MARK = 0x5650;
export const FIRST_PORT = 40_000;
export const LAST_PORT = 60_000;
export const RANGE = { first: FIRST_PORT, last: LAST_PORT };
export const PORTS = { tcp: [RANGE, { first: 8080, last: 8080 }], udp: [RANGE] };

/** The firewall of a namespace. */
export function open(
  namespace: TestNamespace,
  options: { readonly owned?: boolean } = {},
): Nftables {
  return namespace.inside(() => Nftables.open(openLibc(), options));
}

export function installDrop(nftables: Nftables, address = GATEWAY): void {
  installIngressDrop(nftables, {
    table: TABLE,
    device: DEVICE,
    address: parseAddress(address)!,
    ports: PORTS,
  });
}

export const synAck = (port: number): Bytes =>
  buildTcp({
    source: OUTSIDE,
    destination: GATEWAY,
    sourcePort: 80,
    destinationPort: port,
    flags: 0x12,
  });
export const datagram = (port: number, payload = new Uint8Array(8)): Bytes =>
  buildUdp({ source: OUTSIDE, destination: GATEWAY, destinationPort: port, payload });
