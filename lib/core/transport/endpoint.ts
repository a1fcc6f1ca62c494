/** Endpoint: a peer's outer address and port, and the transport by which datagrams travel there and back. */

/** How datagrams travel. */
export const Carrier = {
  udp: 0,
  /** In segments that look like TCP's, see lib/core/transport/fake_tcp/. */
  fakeTcp: 1,
} as const;

export type Carrier = (typeof Carrier)[keyof typeof Carrier];

/** Where a peer was last heard of. Port 0: not known. */
export class Endpoint {
  /** IPv4 address, host order. */
  address = 0;
  port = 0;
  /** Our own address that the peer writes to; 0 lets the kernel choose. */
  source = 0;
  carrier: Carrier = Carrier.udp;
}
