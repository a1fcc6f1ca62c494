/** Owns what the main thread and a relay's own thread say to each other. */
import type { CarrierEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";

/** All that a relay needs to begin. Sent once, by `postMessage`, before its loop starts. */
export interface RelayConfig {
  /** Descriptor of the wake channel's receiving end: a message asks for `alive`; the relay ends when the other end is closed. */
  readonly commandFd: number;
  /** Where the datagrams of UDP come from, or go; host order. */
  readonly udp: {
    readonly role: "listen" | "connect";
    readonly address: number;
    readonly port: number;
  };
  /** What to capture, see `CarrierGuard`. Where UDP is listened for, it has a remote. */
  readonly endpoints: CarrierEndpoints;
  /** Whether segmentation offloads may be used. */
  readonly offload: boolean;
}

/** From the relay, by `postMessage`. */
export type RelayReport =
  | { readonly kind: "ready" }
  /** It was asked whether it runs. */
  | { readonly kind: "alive" }
  | { readonly kind: "log"; readonly level: "info" | "warning"; readonly message: string }
  | { readonly kind: "stopped" }
  /** It cannot go on. `errno` is 0 when no system call failed. */
  | { readonly kind: "failed"; readonly message: string; readonly errno: number };
