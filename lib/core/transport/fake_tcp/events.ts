/** Events of fake TCP: what a caller is to know of connections, or to do for them. */
import type { Session } from "./session.ts";

/** Why a connection is over without `close()`. */
export type LossReason =
  /** No SYN/ACK came. */
  | "unanswered"
  /** RST or FIN came, and then no authenticated data for a second. */
  | "reset"
  /** Nothing came for long, or never anything authenticated. */
  | "silent"
  /** Its client has started again, from the same port. */
  | "replaced"
  /** Its address, or its client, has opened too many others since. */
  | "evicted"
  /** The other end acknowledges what was never sent: somebody has moved it with forged segments. */
  | "drifted";

/** What the caller is to know, or to do. */
export type FakeTcpEvent =
  | { readonly kind: "established"; readonly session: Session }
  /** Send something authenticated, so that firewalls and NATs on the way do not forget the connection. */
  | { readonly kind: "keepalive"; readonly session: Session }
  /** The connection is over. A client connects again, from another port. */
  | { readonly kind: "lost"; readonly session: Session; readonly reason: LossReason };
