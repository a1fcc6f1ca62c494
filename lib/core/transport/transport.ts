/** Transport: how datagrams travel between two endpoints. */

export const Transport = {
  udp: 0,
  /** In segments that look like TCP's, see lib/core/transport/fake_tcp/. */
  fakeTcp: 1,
} as const;

export type Transport = (typeof Transport)[keyof typeof Transport];
