/** Socket address: an IPv4 address and a port, by value. */

export interface SocketAddress {
  /** uint32 in host order; 0 is every address of the host, or none. */
  readonly address: number;
  /** Host order, 1 to 65535. */
  readonly port: number;
}
