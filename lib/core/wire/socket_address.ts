/** Socket address: an address and a port, by value. */
import type { HostAddress } from "./host_address.ts";

/** The same of IPv4 alone. */
export interface Ipv4SocketAddress extends SocketAddress {
  readonly address: number;
}

export interface SocketAddress {
  /** 0 is every address of the host, or none. */
  readonly address: HostAddress;
  /** Host order, 1 to 65535. */
  readonly port: number;
}
