/** Metrics of a server or client: what of it goes into them, and how often the data plane is asked. */
import process from "node:process";
import type { Config } from "../../core/config/config.ts";
import { expositionLines } from "../../core/metrics/exposition.ts";
import {
  type PeerAccess,
  type PeerSnapshot,
  type Snapshot,
  vpnMetrics,
} from "../../core/metrics/vpn_metrics.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { VERSION } from "../../process/version.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import type { Statistics } from "../../dataplane/data_plane_protocol.ts";
import { faultCounts } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import { chunked, paced } from "../../process/pace.ts";
import { MetricsServer } from "./metrics_server.ts";
import { shared } from "./shared.ts";

/**
 * ms for which an answer is good for another scrape, so that no number of scrapers keeps the data plane from its work.
 */
const LIFETIME = 250;

export interface MetricsOptions extends Pick<Snapshot, "role" | "interfaceName" | "aead"> {
  readonly config: Config;
  readonly dataPlane: { statistics(): Promise<Statistics> };
  /** The configured peers, and whether each has access. */
  readonly access: () => readonly PeerAccess[];
  /** What an access rule of this number says, and where it stands. */
  readonly ruleText: (rule: number) => string;
  /** Whether there is a NAT in user space. */
  readonly hasNat: boolean;
  /** What is published, given what the data plane says. */
  readonly services: (statistics: Pick<Statistics, "services">) => Snapshot["services"];
  readonly dnsProxy: {
    readonly counts: NonNullable<Snapshot["dns"]>;
    countsOf(key: string): PeerSnapshot["dns"];
  } | null;
  /** The store of the peers; null where there is none. */
  readonly store: () => {
    readonly connected: boolean;
    readonly lastContact: string | null;
    readonly leftOut: number;
    readonly admitsNew: boolean;
    readonly virtualAddress: NonNullable<Snapshot["store"]>["virtualAddress"];
  } | null;
  readonly logger: Logger;
}

/**
 * Serves metrics where `Metrics` says, until disposed of. Call it while the process may still bind any port.
 *
 * @returns null where nobody wants them
 * @throws {AppError} as `MetricsServer.open()` does
 */
export async function serveMetrics(options: MetricsOptions): Promise<MetricsServer | null> {
  const { config: { interface: { metrics } }, dataPlane, logger } = options;
  if (metrics === null) return null;
  const read = async () => {
    const families = vpnMetrics(snapshot(await dataPlane.statistics(), options));
    return await paced(chunked(expositionLines(families)));
  };
  const server = await MetricsServer.open({
    listen: metrics,
    read: shared(read, { lifetime: LIFETIME, now: () => performance.now() }),
  });
  logger.info("serving metrics at http://{address}:{port}/metrics", {
    address: formatIpv4(metrics.address),
    port: metrics.port,
  });
  return server;
}

function snapshot(
  { peers, drops, segmentation, nat, services: figures }: Statistics,
  { role, interfaceName, aead, access, ruleText, hasNat, services, dnsProxy, store: storeNow }:
    MetricsOptions,
): Snapshot {
  const store = storeNow();
  const { user, system } = process.cpuUsage();
  return {
    version: VERSION,
    role,
    interfaceName,
    aead,
    segmentation,
    peers: peers.map((peer) => ({
      ...peer,
      denied: peer.denials.map(({ rule, packets }) => ({ rule: ruleText(rule), packets })),
      dns: dnsProxy?.countsOf(encodeKey(peer.publicKey)) ?? null,
    })),
    access: access(),
    drops,
    nat: hasNat ? nat : null,
    services: services({ services: figures }),
    dns: dnsProxy?.counts ?? null,
    store: store === null
      ? null
      : { ...store, lastContact: Date.parse(store.lastContact ?? "") || 0 },
    faults: faultCounts(),
    process: {
      startTime: performance.timeOrigin,
      cpuTime: user + system,
      residentMemory: Deno.memoryUsage().rss,
    },
  };
}
