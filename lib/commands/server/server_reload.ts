/** Server reload: what of a gateway's configuration may change while it runs, and how. */
import type { LivePeers } from "../../control/live_peers.ts";
import type { Config, ServerConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { changedKeys, type ConfigChange, ofKeys } from "../../core/config/config_change.ts";
import { CLIENT_ONLY_KEYS, validateServer } from "../../core/config/roles.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import { getLogger } from "../../process/logging.ts";
import { readBlockFiles } from "../../services/dns_proxy/block_files.ts";
import type { DnsProxy } from "../../services/dns_proxy/dns_proxy.ts";
import type { FlowLog } from "../../services/kept/flow_log.ts";
import type { PublishedServices } from "../../services/published/published_services.ts";
import { withLivePeers } from "./fleet_member.ts";
import type { Gateway } from "./gateway.ts";
import type { GatewayWebhooks } from "./gateway_webhooks.ts";
import { movedPlaces } from "../../host/dns/peer_places.ts";
import type { ReloadPlan, ReloadRole, ReloadStep } from "../../control/reload.ts";

export interface ServerReloadOptions {
  readonly gateway: Pick<Gateway, "requireFollowable" | "setNetworks">;
  readonly dataPlane: Pick<DataPlaneHandle, "setClientToClient" | "setEgressRules">;
  /** Null where the gateway was started without one: the port needs a privilege that is given up since. */
  readonly dnsProxy:
    | Pick<DnsProxy, "setUpstreams" | "setRoutes" | "setDomain" | "setBlockList" | "setQueryLog">
    | null;
  readonly flowLog: Pick<FlowLog, "turn">;
  readonly webhooks: Pick<GatewayWebhooks, "follow">;
  readonly published: Pick<PublishedServices, "canFollow" | "setForwards">;
  /** The peers that run, where the file has none; null where it has them. */
  readonly stored: Pick<LivePeers, "peers" | "groups"> | null;
}

export class ServerReload implements ReloadRole<ServerConfig> {
  readonly liveKeys: ReadonlySet<string> = new Set([
    "PublicEndpoint",
    "EgressAllow",
    "EgressDeny",
    "ClientToClient",
    "DnsProxy",
    "DnsDomain",
    "DnsRoute",
    "DnsBlock",
    "DnsQueryLog",
    "FlowLog",
    "Webhook",
    "WebhookSecret",
    "Forward",
  ]);
  readonly foreignKeys: readonly string[] = CLIENT_ONLY_KEYS;
  readonly #options: ServerReloadOptions;

  constructor(options: ServerReloadOptions) {
    this.#options = options;
  }

  validate(config: Config): ServerConfig {
    const { stored } = this.#options;
    const { fileName, interface: { store, lines } } = config;
    if (stored === null && store.length > 0) {
      throw new ConfigError(
        `${fileName}:${
          lines.get("Store")
        }: Store: peers cannot move to a store while the tunnel is running: restart it`,
      );
    }
    if (stored === null) return validateServer(config);
    // What runs has them already, and stands on no line.
    const peers = config.peers.filter(({ line }) => line > 0);
    const groups = config.groups.filter(({ line }) => line > 0);
    return withLivePeers(validateServer({ ...config, peers, groups }), stored);
  }

  async plan(
    change: ConfigChange,
    { after }: { readonly after: ServerConfig },
  ): Promise<ReloadPlan> {
    const { gateway, dataPlane, dnsProxy, flowLog, webhooks, published } = this.#options;
    const { egressAllow, egressDeny, clientToClient, dnsProxy: upstreams } = after.interface;
    const { dnsDomain, dnsRoutes, dnsBlock, dnsQueryLog } = after.interface;
    const keys = changedKeys(change);
    const steps: ReloadStep[] = [];
    const restart: string[] = [];
    const networkKey = keys.find((key) => key === "EgressAllow" || key === "EgressDeny");
    if (networkKey !== undefined) {
      gateway.requireFollowable(after);
      steps.push({
        key: networkKey,
        run: () => gateway.setNetworks({ egressAllow, egressDeny }, dataPlane),
      });
    }
    if (keys.includes("ClientToClient")) {
      steps.push({
        key: "ClientToClient",
        run: () => dataPlane.setClientToClient(clientToClient),
      });
    }
    if (keys.includes("DnsProxy")) {
      if (dnsProxy === null || upstreams.length === 0) restart.push("DnsProxy");
      else steps.push({ key: "DnsProxy", run: () => dnsProxy.setUpstreams(upstreams) });
    }
    // Without a proxy they have no effect, which is warned of.
    if (keys.includes("DnsDomain")) {
      steps.push({ key: "DnsDomain", run: () => dnsProxy?.setDomain(dnsDomain) });
    }
    if (keys.includes("DnsRoute")) {
      steps.push({ key: "DnsRoute", run: () => dnsProxy?.setRoutes(dnsRoutes) });
    }
    if (keys.includes("DnsQueryLog")) {
      steps.push({ key: "DnsQueryLog", run: () => dnsProxy?.setQueryLog(dnsQueryLog) });
    }
    if (keys.includes("FlowLog")) {
      steps.push({ key: "FlowLog", run: () => flowLog.turn(after.interface.flowLog) });
    }
    const webhookKey = keys.find((key) => key === "Webhook" || key === "WebhookSecret");
    if (webhookKey !== undefined) {
      steps.push({ key: webhookKey, run: () => webhooks.follow(after.interface) });
    }
    if (keys.includes("Forward") && after.interface.egress === "raw") {
      const { forwards } = after.interface;
      if (!published.canFollow(forwards)) restart.push("Forward");
      else steps.push({ key: "Forward", run: () => published.setForwards(forwards) });
    }
    // The lists may be others in the same files.
    if (dnsProxy !== null && (dnsBlock.length > 0 || keys.includes("DnsBlock"))) {
      const blockList = await readBlockFiles({
        paths: dnsBlock,
        configPath: after.fileName,
        logger: getLogger("dns"),
      });
      steps.push({ key: "DnsBlock", run: () => dnsProxy.setBlockList(blockList) });
    }
    return {
      change: ofKeys(change, (key) => !restart.includes(key)),
      restart,
      places: await movedPlaces(change.put, after.interface.connectTimeout),
      steps,
    };
  }
}
