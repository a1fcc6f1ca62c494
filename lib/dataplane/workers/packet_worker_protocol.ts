/** Packet-worker protocol: what the main thread and a packet worker say to each other. */
import type { EgressRule } from "../../core/access/egress_rules.ts";
import type { DataPlaneConfig } from "../data_plane_protocol.ts";
import type { ThreadReport } from "../thread/thread_report.ts";
import type { SharedMemory } from "./shared_memory.ts";
import type { WorkerFigures } from "./worker_figures.ts";

/** All that a worker needs to begin. */
export interface PacketWorkerConfig extends
  Pick<
    DataPlaneConfig,
    | "commandFd"
    | "isGateway"
    | "mark"
    | "mtu"
    | "offload"
    | "aead"
    | "addresses"
    | "clientToClient"
    | "egressRules"
  > {
  /** From 0 on. */
  readonly number: number;
  /** That the device's thread has. */
  readonly port: number;
  readonly egress: "kernel" | "off";
  readonly shared: SharedMemory;
}

/** From the main thread, as JSON over the wake channel. */
export type PacketWorkerCommand =
  /**
   * Open the TUN of this name, or a queue of it where another worker has made it; `steering` is a descriptor of the
   * program that chooses among the queues, for the one who makes it. Answered by `opened` or `refused`.
   */
  | { readonly kind: "open-tun"; readonly name: string; readonly steering: number | null }
  | {
    readonly kind: "set-egress-rules";
    readonly rules: readonly EgressRule[];
    readonly isLast: boolean;
  }
  | { readonly kind: "set-client-to-client"; readonly allowed: boolean }
  /** Answered by `figures`. */
  | { readonly kind: "get-figures" }
  | { readonly kind: "ping" }
  | { readonly kind: "stop" };

export type PacketWorkerReport =
  | { readonly kind: "ready" }
  | { readonly kind: "opened" }
  | { readonly kind: "refused"; readonly message: string; readonly errno: number }
  | { readonly kind: "figures"; readonly figures: WorkerFigures }
  | { readonly kind: "warning"; readonly message: string }
  | ThreadReport;
