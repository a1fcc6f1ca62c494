/** Endpoints of fake TCP: which ports are ours, and whose segments are meant for us. */
import type { PortRange } from "../../wire/port_range.ts";
import type { SocketAddress } from "../../wire/socket_address.ts";

/** What fake TCP's segments have in common. Addresses and ports in host order. */
export interface FakeTcpEndpoints {
  /** Our ports. */
  readonly ports: PortRange;
  /** Whose port they come from; null for anybody's. */
  readonly remote: SocketAddress | null;
}
