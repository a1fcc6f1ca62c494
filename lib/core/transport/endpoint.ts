/** Transports: how datagrams travel between two endpoints. */

export const Carrier = {
  udp: 0,
  /** In segments that look like TCP's, see lib/core/transport/fake_tcp/. */
  fakeTcp: 1,
} as const;

export type Carrier = (typeof Carrier)[keyof typeof Carrier];
