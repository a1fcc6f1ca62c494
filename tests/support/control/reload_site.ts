/**
 * A tunnel that runs from a file which a test can edit, with stand-ins for its peers, its gateway and its DNS proxy.
 */
import { changedPeers } from "../../../lib/control/changed_peers.ts";
import { type LiveChange, type LivePeer, peersByKey } from "../../../lib/control/live_peers.ts";
import { getLogger } from "../../../lib/process/logging.ts";
import { atOnce } from "../../../lib/core/config/at_once.ts";
import { Reloader, type ReloadResult, type ReloadRole } from "../../../lib/control/reload.ts";
import { ServerReload } from "../../../lib/commands/server/server_reload.ts";
import type { Config } from "../../../lib/core/config/config.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { sampleKeys } from "../config/sample_keys.ts";
import { emptyFile } from "../folder.ts";

/** Peers that run, without a data plane; and what was asked of them. */
class StubPeers {
  peers: ReadonlyMap<string, LivePeer>;
  readonly groups = null;
  readonly asked: LiveChange[] = [];
  refusal: Error | null = null;

  constructor(config: Config) {
    this.peers = peersByKey(config.peers);
  }

  change(changes: unknown): Promise<void> {
    const all = changes as readonly LiveChange[];
    if (this.refusal !== null) return Promise.reject(this.refusal);
    this.asked.push(...all);
    this.peers = atOnce(changedPeers(this.peers, all));
    return Promise.resolve();
  }
}

/** A tunnel that runs from a file which can be edited. */
export class Site<Kind extends Config> implements Disposable {
  readonly path: string = emptyFile({ suffix: ".conf" });
  readonly peers: StubPeers;
  readonly told: string[] = [];
  readonly reloader: Reloader<Kind>;

  constructor(text: string, role: ReloadRole<Kind>) {
    Deno.writeTextFileSync(this.path, text);
    const config = role.validate(parseConfig(text, this.path));
    this.peers = new StubPeers(config);
    this.reloader = new Reloader({
      path: this.path,
      interfaceName: "vpn0",
      config,
      role,
      peers: this.peers,
      manager: {
        reloading: () => this.told.push("reloading"),
        reloaded: () => this.told.push("reloaded"),
      },
      logger: getLogger("server"),
    });
  }

  edit(text: string): Promise<ReloadResult> {
    Deno.writeTextFileSync(this.path, text);
    return this.reloader.reload();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

export const PEERS = [2, 3, 4].map((byte) => sampleKeys(byte).publicKey);

export function peer(index: number, ...lines: readonly string[]): string {
  return ["[Peer]", `PublicKey = ${PEERS[index]}`, ...lines, ""].join("\n");
}

export function section(...lines: readonly string[]): string {
  const own = ["[Interface]", `PrivateKey = ${sampleKeys(1).privateKey}`];
  return [...own, "Address = 10.66.77.1/24", ...lines, ""].join("\n");
}

/** A gateway, and what was asked of its parts. */
export function serverRole(
  { hasProxy = true, refusal = null as Error | null, canPublish = true } = {},
): { role: ServerReload; asked: unknown[] } {
  const asked: unknown[] = [];
  const role = new ServerReload({
    stored: null,
    gateway: {
      requireFollowable: () => {
        if (refusal !== null) throw refusal;
      },
      setNetworks: ({ egressAllow }) => asked.push(egressAllow),
    },
    published: {
      canFollow: () => canPublish,
      setForwards: (forwards) => void asked.push(forwards),
    },
    dataPlane: {
      setClientToClient: (allowed) => asked.push(allowed),
      setEgressRules: () => {},
    },
    dnsProxy: hasProxy
      ? {
        setUpstreams: (upstreams) => Promise.resolve(void asked.push(upstreams)),
        setRoutes: (routes) => Promise.resolve(void asked.push(routes)),
        setDomain: (domain) => void asked.push(domain),
        setBlockList: (list) => void asked.push(list?.count ?? null),
        setQueryLog: (isOn) => Promise.resolve(void asked.push({ isOn })),
      }
      : null,
    flowLog: { turn: (isOn) => Promise.resolve(void asked.push({ keepsFlows: isOn })) },
    webhooks: { follow: ({ webhooks }) => Promise.resolve(void asked.push(webhooks)) },
  });
  return { role, asked };
}
