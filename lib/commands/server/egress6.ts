/**
 * Egress of IPv6: follows the interface by which the host's kernel forwards clients' packets to the internet, and
 * answers for clients' addresses there, where they are of a prefix of the uplink's and nobody else's.
 */
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { egress6Of } from "../../core/config/egress6.ts";
import { addressOf6, type Ipv6PrefixText } from "../../core/wire/ipv6_prefix.ts";
import type { Journal } from "../../host/journal/journal.ts";
import { NeighbourClaims } from "../../host/network/neighbour_claims.ts";
import type { ExternalLink6 } from "../../host/network/egress_plan6.ts";
import type { Logger } from "../../process/logging.ts";
import type { EgressChoice } from "./egress_choice.ts";
import type { KernelForwarding } from "./kernel_forwarding.ts";

export interface Egress6Options {
  readonly config: ServerConfig;
  readonly choice: EgressChoice;
  readonly forwarding: KernelForwarding;
  readonly netlink: Rtnetlink;
  readonly journal: Journal;
  readonly logger: Logger;
}

/** What is to be known of a peer: which addresses are its own. */
export interface PeerOfPrefix {
  readonly allowedIps6: readonly Ipv6PrefixText[];
}

const ANSWERS = "proxied-neighbours";

export class Egress6 implements Disposable {
  readonly #options: Egress6Options;
  readonly #kind: "nat" | "routed" | "off";
  #external: ExternalLink6 | null;
  /** What was told of it last. */
  #told = "";
  /** Addresses that the uplink's neighbours may ask for, if nobody there has them. */
  #addresses: readonly string[] = [];
  readonly #claims: NeighbourClaims;
  /** What of them is answered for, and where. */
  #answered = "";

  constructor(options: Egress6Options) {
    this.#options = options;
    this.#kind = egress6Of(options.config.interface);
    this.#external = options.choice.findExternal6();
    const { netlink: host, logger } = options;
    this.#claims = new NeighbourClaims({ host, logger, onChange: () => this.#answer() });
  }

  /** The interface outside; null while there is none, or it may not be used. */
  get external(): ExternalLink6 | null {
    return this.#options.forwarding.cannot6 === null ? this.#external : null;
  }

  /** Whether the file asks for what there is not. */
  get isMissed(): boolean {
    const { lines } = this.#options.config.interface;
    return this.#kind !== "off" && lines.has("Egress6") && this.external === null;
  }

  /** Looks where it is now. */
  look(): void {
    this.#external = this.#options.choice.findExternal6();
  }

  /** Says where it is now, if that is news, and answers for clients there. To be called once it is open. */
  tell(): void {
    const { forwarding, logger } = this.#options;
    if (this.#kind === "off") return;
    this.#claim();
    const { external } = this;
    const told = `${external?.name} ${external?.address}`;
    if (told === this.#told) return;
    this.#told = told;
    if (external === null) {
      logger.info("{reason}: IPv6 packets to the internet are refused until this changes", {
        reason: forwarding.cannot6 ?? "no route to the internet, or no address there",
      });
      return;
    }
    const how = this.#kind === "nat"
      ? `with source ${external.address} (the kernel's NAT)`
      : "with their own source (a routed prefix)";
    logger.info("IPv6 packets to the internet leave through {device} {how}", {
      device: external.name,
      how,
    });
  }

  /** Takes note of who the peers are by now. */
  setPeers(peers: Iterable<PeerOfPrefix>): void {
    this.#addresses = Array.from(peers, ({ allowedIps6 }) => allowedIps6).flat()
      .filter((network) => network.endsWith("/128")).map(addressOf6);
    this.#claim();
  }

  [Symbol.dispose](): void {
    this.#claims[Symbol.dispose]();
  }

  #claim(): void {
    this.#claims.want(this.#kind === "routed" ? this.external : null, this.#addresses);
    this.#answer();
  }

  /** Of a longer list than before, all are named again: a neighbour that asks meanwhile asks again. */
  #answer(): void {
    const { journal } = this.#options;
    const device = this.#kind === "routed" ? this.external?.name ?? null : null;
    const addresses = this.#claims.free;
    const answered = JSON.stringify([device, addresses]);
    if (answered === this.#answered) return;
    this.#answered = answered;
    journal.release(ANSWERS);
    if (device === null || addresses.length === 0) return;
    journal.makeSysctl(`/proc/sys/net/ipv6/conf/${device}/proxy_ndp`, "1");
    journal.make({ kind: ANSWERS, device, addresses });
  }
}
