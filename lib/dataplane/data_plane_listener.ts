/** Data-plane listener: who on the main thread is told what the data plane reports without being asked. */
import type { Report } from "./data_plane_protocol.ts";
import type { FleetReport } from "./fleet/fleet_protocol.ts";

export type ReportOf<Kind extends Report["kind"]> = Extract<Report, { kind: Kind }>;

export interface DataPlaneListener {
  onPeer(report: ReportOf<"peer">): void;
  onLog(report: ReportOf<"log">): void;
  /** The path to a peer takes other packets than before. */
  onPathMtu(report: ReportOf<"path-mtu">): void;
  /** What a peer has used, see `QuotaOptions`; the last time when it is removed. */
  onUsage(report: ReportOf<"usage">): void;
  /** Of a gateway with a virtual address. */
  onFleet(report: FleetReport): void;
  /** Addresses, links or routes of the host have changed. */
  onNetworkChange(): void;
}
