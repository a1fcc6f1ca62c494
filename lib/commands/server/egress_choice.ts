/** Egress choice: which interface leads outside, and which networks clients may reach by it and by others. */
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { type EgressRule, egressRules, egressRules6 } from "../../core/access/egress_rules.ts";
import type { EgressTarget, ServerConfig } from "../../core/config/config.ts";
import { egress6Of, isNat66 } from "../../core/config/egress6.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { isIpv6 } from "../../core/wire/host_address.ts";
import type { Ipv4Prefix } from "../../core/wire/ipv4_text.ts";
import { type Ipv6Prefix, translated } from "../../core/wire/ipv6_prefix.ts";
import { EGRESS_MARK, virtualAddresses } from "../../dataplane/egress/egress.ts";
import { MAX_EGRESS_RULES } from "../../dataplane/message_parts.ts";
import { findExternalLink, hostSurroundings } from "../../host/network/egress_plan.ts";
import {
  type ExternalLink6,
  findExternalLink6,
  hostSurroundings6,
} from "../../host/network/egress_plan6.ts";
import { egressTraffic } from "../egress_traffic.ts";
import type { Exits } from "./kernel_forwarding.ts";

/** Where clients may go now. */
export interface EgressPlan extends Exits {
  readonly rules: readonly EgressRule[];
}

/** The interfaces outside; null while there is none. */
export interface Externals {
  readonly external: ExternalLink | null;
  readonly external6: ExternalLink6 | null;
}

/** The keys by which the configuration says it. */
export type EgressNetworks = Pick<ServerConfig["interface"], "egressAllow" | "egressDeny">;

export const NOWHERE: EgressPlan = { rules: [], exits: [], exits6: [], uplink6: null };

/** Refuses all of the outside: what holds where not all that is to be refused can be told. */
export const SHUT: EgressPlan = {
  ...NOWHERE,
  rules: [
    { address: 0, prefixLength: 0, verdict: "nowhere" },
    { address: "::", prefixLength: 0, verdict: "nowhere" },
  ],
};

/** A plan that can be followed: this one, or `SHUT` where it has too many rules. */
export function followable(plan: EgressPlan): EgressPlan {
  return plan.rules.length <= MAX_EGRESS_RULES ? plan : SHUT;
}

export interface EgressChoiceOptions {
  readonly config: ServerConfig;
  readonly interfaceName: string;
  readonly netlink: Rtnetlink;
}

export class EgressChoice {
  /** The fleet's address that this host has now, and the interface (an index) whose neighbours know it by it. */
  virtual: { readonly link: number; readonly address: number } | null = null;
  readonly #options: EgressChoiceOptions;

  constructor(options: EgressChoiceOptions) {
    this.#options = options;
  }

  /** The interface outside; null where there is none, or the configured one is not there now, or has no address. */
  findExternal(): ExternalLink | null {
    const { config, interfaceName, netlink } = this.#options;
    if (config.interface.egress === "off") return null;
    try {
      return this.#seenAs(
        findExternalLink(config, netlink, egressTraffic(config, interfaceName)),
      );
    } catch (error) {
      if (error instanceof ConfigError) return null;
      throw error;
    }
  }

  /** What leaves by an interface where the host has the fleet's address has that one, and goes on when it moves. */
  #seenAs(external: ExternalLink | null): ExternalLink | null {
    const { virtual } = this;
    return external === null || external.link !== virtual?.link
      ? external
      : { ...external, address: virtual.address };
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

  /** The same of IPv6. */
  findExternal6(): ExternalLink6 | null {
    const { config, interfaceName: tunnel, netlink } = this.#options;
    if (egress6Of(config.interface) === "off") return null;
    return findExternalLink6(config, netlink, { tunnel, mark: EGRESS_MARK });
  }

  /** What clients may reach by the interfaces outside and the host's other ones. */
  plan(networks: EgressNetworks, { external, external6 }: Externals): EgressPlan {
    const { config, interfaceName: tunnel, netlink } = this.#options;
    const { egress } = config.interface;
    if (egress === "off") return NOWHERE;
    const virtual = virtualAddresses({ services: config.interface.forwards });
    const around = hostSurroundings(netlink, { external, tunnel, virtual });
    const allow = networks.egressAllow.filter(isOfIpv4);
    const deny = networks.egressDeny.filter(isOfIpv4);
    const plan = egressRules({ allow, deny }, around, { isForwarded: egress === "kernel" });
    const namesOf = (links: readonly number[]) =>
      links.flatMap((link) => netlink.links.find(link)?.name ?? []);
    const others = namesOf(plan.exits);
    const ofIpv4 = {
      rules: plan.rules,
      exits: egress === "kernel" && external !== null ? [external.name, ...others] : others,
      exits6: [],
      uplink6: null,
    };
    if (egress6Of(config.interface) === "off") return ofIpv4;
    const isTranslated = isNat66(config.interface);
    const around6 = hostSurroundings6(netlink, { external: external6, tunnel });
    const plan6 = egressRules6({
      allow: networks.egressAllow.filter(isOfIpv6),
      deny: [...networks.egressDeny.filter(isOfIpv6), ...deny.filter(isNetwork).map(translated)],
    }, {
      ...around6,
      networks: [...around6.networks, ...around.networks.map(translated)],
      // Access rules take these for the gateway, which no translator leads to.
      local: [...around6.local ?? [], ...config.interface.addresses.map(translated)],
    }, { isTranslated });
    const others6 = namesOf(plan6.exits);
    return {
      ...ofIpv4,
      rules: [...plan.rules, ...plan6.rules],
      exits6: external6 === null || isTranslated ? others6 : [external6.name, ...others6],
      uplink6: isTranslated ? null : external6?.name ?? null,
    };
  }
}

function isOfIpv4(target: EgressTarget): target is Ipv4Prefix | "lan" {
  return target === "lan" || !isIpv6(target.address);
}

function isOfIpv6(target: EgressTarget): target is Ipv6Prefix | "lan" {
  return target === "lan" || isIpv6(target.address);
}

function isNetwork(target: Ipv4Prefix | "lan"): target is Ipv4Prefix {
  return target !== "lan";
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
