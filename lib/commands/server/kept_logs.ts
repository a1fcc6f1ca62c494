/** Kept logs: what a gateway keeps of its clients' acts where its file asks for it, of which nothing is the default. */
import type { ServerConfig } from "../../core/config/config.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import { type ClientQuery, QUERIES } from "../../host/accounts/record_kinds.ts";
import { flowsPath, queriesPath } from "../../process/state_directory.ts";
import type { PeerNetworks } from "../../services/dns_proxy/followed_peers.ts";
import { FlowLog } from "../../services/kept/flow_log.ts";
import { RecordLog } from "../../services/kept/record_log.ts";

export interface KeptLogsOptions {
  readonly config: ServerConfig;
  readonly interfaceName: string;
  readonly netns: string | null | undefined;
  readonly dataPlane: DataPlaneHandle;
  /** By their keys, as they are now: another map when they have changed. */
  readonly peers: () => ReadonlyMap<string, PeerNetworks>;
}

export class KeptLogs implements AsyncDisposable {
  readonly queries: RecordLog<ClientQuery>;
  readonly flows: FlowLog;

  private constructor({ interfaceName, netns, dataPlane, peers }: KeptLogsOptions) {
    this.queries = new RecordLog({
      kind: QUERIES,
      what: "the names that clients ask for",
      path: queriesPath(interfaceName, netns),
      now: Date.now,
      category: "dns",
    });
    const path = flowsPath(interfaceName, netns);
    this.flows = new FlowLog({ path, dataPlane, peers, now: Date.now });
  }

  /** Begins those that the file asks for, and removes what others had kept. */
  static async start(options: KeptLogsOptions): Promise<KeptLogs> {
    const logs = new KeptLogs(options);
    const { dnsQueryLog, dnsProxy, flowLog } = options.config.interface;
    await logs.queries.turn(dnsQueryLog && dnsProxy.length > 0);
    await logs.flows.turn(flowLog);
    return logs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flows[Symbol.asyncDispose]();
    await this.queries[Symbol.asyncDispose]();
  }
}
