/** Egress choice: which interface leads outside, and which networks clients may reach by it and by others. */
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { type EgressRule, egressRules } from "../../core/access/egress_rules.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { MAX_EGRESS_RULES } from "../../dataplane/data_plane_handle.ts";
import { findExternalLink, hostSurroundings } from "../../host/network/egress_plan.ts";
import { egressTraffic } from "../egress_traffic.ts";

/** Where clients may go now. */
export interface EgressPlan {
  readonly rules: readonly EgressRule[];
  /** Names of the interfaces that the kernel may forward to. */
  readonly exits: readonly string[];
}

/** The keys by which the configuration says it. */
export type EgressNetworks = Pick<ServerConfig["interface"], "egressAllow" | "egressDeny">;

export const NOWHERE: EgressPlan = { rules: [], exits: [] };

export interface EgressChoiceOptions {
  readonly config: ServerConfig;
  readonly interfaceName: string;
  readonly netlink: Rtnetlink;
}

export class EgressChoice {
  readonly #options: EgressChoiceOptions;

  constructor(options: EgressChoiceOptions) {
    this.#options = options;
  }

  /** The interface outside; null where there is none, or the configured one is not there now, or has no address. */
  findExternal(): ExternalLink | null {
    const { config, interfaceName, netlink } = this.#options;
    if (config.interface.egress === "off") return null;
    try {
      return findExternalLink(config, netlink, egressTraffic(config, interfaceName));
    } catch (error) {
      if (error instanceof ConfigError) return null;
      throw error;
    }
  }

  /** Why the configured interface cannot be used; null where it can, or none is configured. */
  unusable(): string | null {
    try {
      findExternalLink(this.#options.config, this.#options.netlink);
      return null;
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
  }

  /** What clients may reach by `external` and the host's other interfaces. */
  plan(
    { egressAllow: allow, egressDeny: deny }: EgressNetworks,
    external: ExternalLink | null,
  ): EgressPlan {
    const { config, interfaceName: tunnel, netlink } = this.#options;
    const { egress } = config.interface;
    if (egress === "off") return NOWHERE;
    const plan = egressRules({ allow, deny }, hostSurroundings(netlink, { external, tunnel }));
    const others = plan.exits.flatMap((link) => netlink.links.find(link)?.name ?? []);
    return {
      rules: plan.rules,
      exits: egress === "kernel" && external !== null ? [external.name, ...others] : others,
    };
  }
}

/** @throws {ConfigError} */
export function requireFewRules(config: ServerConfig, rules: readonly EgressRule[]): void {
  if (rules.length <= MAX_EGRESS_RULES) return;
  const { lines } = config.interface;
  const key = ["EgressAllow", "EgressDeny"].find((each) => lines.has(each)) ?? "EgressAllow";
  throw new ConfigError(
    `${config.fileName}:${
      lines.get(key) ?? 1
    }: ${key}: together with this host's networks and routes this gives ` +
      `${rules.length} rules, more than the maximum of ${MAX_EGRESS_RULES}: use fewer and larger networks`,
  );
}
