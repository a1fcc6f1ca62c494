/** Relay protocol: what the main thread and a relay's own thread say to each other. */
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import type { SocketAddress } from "../../core/wire/socket_address.ts";
import type { ThreadReport } from "../thread/thread_report.ts";

/** All that a relay needs to begin. Sent once, by `postMessage`, before its loop starts. */
export interface RelayConfig {
  /**
   * Descriptor of the wake channel's receiving end: a message asks for `alive`; the relay ends when the other end is
   * closed.
   */
  readonly commandFd: number;
  /** Where the datagrams of UDP come from, or go; to listen at `::` is to listen at all addresses of both families. */
  readonly udp: SocketAddress & { readonly role: "listen" | "connect" };
  /** What to capture, see `FakeTcpGuard`. Where UDP is listened for, it has a remote. */
  readonly endpoints: FakeTcpEndpoints;
  /** Whether segmentation offloads may be used. */
  readonly offload: boolean;
}

/** From the relay, by `postMessage`. */
export type RelayReport =
  | { readonly kind: "ready" }
  | { readonly kind: "log"; readonly level: "info" | "warning"; readonly message: string }
  | ThreadReport;
