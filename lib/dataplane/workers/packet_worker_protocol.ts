/** Packet-worker protocol: what the main thread and a packet worker say to each other. */
import type { AccessItem } from "../../core/access/access_items.ts";
import type { EgressRule } from "../../core/access/egress_rules.ts";
import type { FlowBatch } from "../../core/flows/flow_meter.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import type { NatService } from "../../core/nat/nat_options.ts";
import type { DataPlaneConfig } from "../data_plane_protocol.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import type { EgressConfig, EgressConfig6 } from "../egress/egress.ts";
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
    | "addresses6"
    | "clientToClient"
    | "egressRules"
    | "access"
  > {
  /** From 0 on. */
  readonly number: number;
  /** That the device's thread has. */
  readonly port: number;
  /** The interface outside follows by command, as sockets are numbered in the order of workers. */
  readonly egress: EgressConfig | "kernel" | "off";
  /** Null where nothing of IPv6 is translated. */
  readonly egress6: EgressConfig6 | null;
  /** Whether the first worker translates for all, as what is configured has no parts. */
  readonly hasOneNat: boolean;
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
  /**
   * This is the interface outside now, of one family; null for none. `group` is what the capture of the workers before
   * this one shares by, null for none. Answered by `external-set`.
   */
  | {
    readonly kind: "set-external";
    readonly isIpv6: boolean;
    readonly external: ExternalLink<HostAddress> | null;
    readonly group: number | null;
  }
  /** As that of the data plane. */
  | { readonly kind: "set-flow-log"; readonly isOn: boolean }
  /** As that of the data plane, for the worker that translates for all; answered by `done`. */
  | {
    readonly kind: "set-services";
    readonly services: readonly NatService[];
    readonly isLast: boolean;
  }
  /** As that of the data plane; answered by `flows`. */
  | { readonly kind: "get-flows"; readonly isLast: boolean }
  /** Log each packet that goes outside from now on, or no more. */
  | { readonly kind: "set-trace"; readonly trace: boolean }
  /** As that of the data plane; answered by `done`. */
  | {
    readonly kind: "change-access";
    readonly items: readonly AccessItem[];
    readonly isLast: boolean;
  }
  /** Answered by `figures`. */
  | { readonly kind: "get-figures" }
  | { readonly kind: "ping" }
  | { readonly kind: "stop" };

export type PacketWorkerReport =
  | { readonly kind: "ready" }
  | { readonly kind: "opened" }
  | { readonly kind: "done" }
  | { readonly kind: "refused"; readonly message: string; readonly errno: number }
  | { readonly kind: "flows"; readonly batch: FlowBatch | null }
  | { readonly kind: "figures"; readonly figures: WorkerFigures }
  | { readonly kind: "external-set"; readonly group: number | null; readonly isOpen: boolean }
  | { readonly kind: "log"; readonly level: "trace" | "warning"; readonly message: string }
  | ThreadReport;
