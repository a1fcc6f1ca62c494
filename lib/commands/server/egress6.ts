/**
 * Egress of IPv6: follows the interface by which the gateway's own NAT sends clients' packets to the internet, or the
 * host's kernel forwards them, and answers for clients' addresses there, where they are of a prefix of the uplink's and
 * nobody else's.
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { egress6Of, isNat66 } from "../../core/config/egress6.ts";
import type { Ipv6Text } from "../../core/wire/host_address.ts";
import { MIN_LINK_MTU } from "../../core/wire/ipv6.ts";
import { addressOf6, type Ipv6PrefixText } from "../../core/wire/ipv6_prefix.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import type { EgressConfig6 } from "../../dataplane/egress/egress.ts";
import type { Journal } from "../../host/journal/journal.ts";
import { NeighbourClaims } from "../../host/network/neighbour_claims.ts";
import type { ExternalLink6 } from "../../host/network/egress_plan6.ts";
import { AppError, errorMessage } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import type { EgressChoice } from "./egress_choice.ts";
import type { KernelForwarding } from "./kernel_forwarding.ts";
import { PortCapture } from "./port_capture.ts";

export interface Egress6Options {
  readonly config: ServerConfig;
  readonly interfaceName: string;
  /** Bytes. */
  readonly innerMtu: number;
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
/** ms until what could not be answered for is tried again. */
const RETRY_PAUSE = 10_000;

export class Egress6 implements Disposable {
  /** What the data plane's NAT is made from; null where the kernel forwards. */
  readonly natConfig: EgressConfig6 | null;
  readonly #options: Egress6Options;
  readonly #kind: "nat" | "routed" | "off";
  #external: ExternalLink6 | null;
  /** Keeps the NAT's ports from the host's stack; null without a NAT. */
  readonly #capture: PortCapture<Ipv6Text> | null;
  /** Where they are kept from it. */
  #captured: ExternalLink6 | null = null;
  /** The last failure to do so, in words, so that it is told once. */
  #failure = "";
  /** What was told of it last. */
  #told = "";
  /** Addresses that the uplink's neighbours may ask for, if nobody there has them. */
  #addresses: readonly string[] = [];
  readonly #claims: NeighbourClaims;
  /** What of them is answered for, and where. */
  #answered = "";
  /** The last failure to do so, in words, so that it is told once. */
  #answerFailure = "";
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: Egress6Options) {
    this.#options = options;
    this.#kind = egress6Of(options.config.interface);
    this.#external = options.choice.findExternal6();
    const { netlink: host, logger } = options;
    this.#claims = new NeighbourClaims({ host, logger, onChange: () => this.#answer() });
    const isNat = isNat66(options.config.interface);
    this.natConfig = isNat ? this.#natConfigTo(this.#external) : null;
    // Beside the tables of IPv4's, each of which is one interface's.
    this.#capture = isNat
      ? new PortCapture({ ...options, table: `vpn_${options.interfaceName}_6` })
      : null;
  }

  #natConfigTo(external: ExternalLink6 | null): EgressConfig6 {
    const { config: { interface: section }, innerMtu } = this.#options;
    return {
      external,
      innerMtu: Math.max(innerMtu, MIN_LINK_MTU),
      innerAddress: addressOf6(section.addresses6[0]!),
      ports: section.natPorts,
      filtering: section.natFiltering,
      forwards: section.forwards6,
      services: [],
      serviceSeed: 0,
      capture: "packet",
    };
  }

  /** The interface outside; null while there is none, or it may not be used. */
  get external(): ExternalLink6 | null {
    return this.#cannot === null ? this.#external : null;
  }

  /** Why there is none, where a route is not what is missing. */
  get #cannot(): string | null {
    return this.#capture === null ? this.#options.forwarding.cannot6 : null;
  }

  /** Whether the file asks for what there is not. */
  get isMissed(): boolean {
    const { lines } = this.#options.config.interface;
    return this.#kind !== "off" && lines.has("Egress6") && this.external === null;
  }

  /**
   * Opens the path outside, where the NAT is ours.
   *
   * @throws {AppError} where a service is in the way of its ports
   */
  open(dataPlane: DataPlaneHandle): void {
    this.#take(dataPlane, this.#external);
  }

  /** Looks where it is now, and follows. Returns whether it could. */
  follow(dataPlane: DataPlaneHandle): boolean {
    try {
      this.#take(dataPlane, this.#options.choice.findExternal6());
      this.#failure = "";
      return true;
    } catch (error) {
      if (!(error instanceof AppError || error instanceof SystemCallError)) throw error;
      this.#external = null;
      dataPlane.setExternal6(null);
      if (error.message !== this.#failure) {
        this.#options.logger.error(
          "{reason}: IPv6 packets to the internet are refused until this changes",
          { reason: error.message },
        );
      }
      this.#failure = error.message;
      return false;
    }
  }

  #take(dataPlane: DataPlaneHandle, external: ExternalLink6 | null): void {
    if (this.#capture === null) {
      this.#external = external;
      return;
    }
    if (external !== null && !isSame(external, this.#captured)) {
      this.#capture.take(external, this.natConfig!);
      this.#captured = external;
    }
    this.#external = external;
    // Whether or not it is another: it may have gone, and come back, unseen.
    dataPlane.setExternal6(external);
    if (external !== null) return;
    this.#captured = null;
    this.#capture.forgetLostLink();
  }

  /** Says where it is now, if that is news, and answers for clients there. To be called once it is open. */
  tell(): void {
    const { logger } = this.#options;
    if (this.#kind === "off") return;
    this.#claim();
    const { external } = this;
    const told = `${external?.name} ${external?.address}`;
    if (told === this.#told) return;
    this.#told = told;
    if (external === null) {
      logger.info("{reason}: IPv6 packets to the internet are refused until this changes", {
        reason: this.#cannot ?? "no route to the internet, or no address there",
      });
      return;
    }
    const whose = this.#capture === null ? "the kernel's" : "user-space";
    const how = this.#kind === "nat"
      ? `with source ${external.address} (${whose} NAT)`
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
    clearTimeout(this.#retry);
    if (answered === this.#answered) return;
    try {
      journal.replace([ANSWERS], () => {
        if (device === null || addresses.length === 0) return false;
        journal.makeSysctl(`/proc/sys/net/ipv6/conf/${device}/proxy_ndp`, "1");
        journal.make({ kind: ANSWERS, device, addresses });
        return true;
      });
      this.#answered = answered;
      this.#answerFailure = "";
    } catch (error) {
      this.#answered = "";
      this.#answerLater(errorMessage(error));
    }
  }

  /** Who asked for the peers is not hindered by it, nor what else follows them. */
  #answerLater(reason: string): void {
    const again = guarded("server", "answering for addresses of peers", () => this.#answer());
    this.#retry = setTimeout(again, RETRY_PAUSE);
    if (reason === this.#answerFailure) return;
    this.#answerFailure = reason;
    this.#options.logger.error(
      "{reason}: not all addresses of peers are answered for on the uplink: this is tried again",
      { reason },
    );
  }

  /** Follows nothing any more. */
  end(): void {
    clearTimeout(this.#retry);
    this.#claims[Symbol.dispose]();
  }

  /** The tables are in the journal, and removed with the rest of it. */
  [Symbol.dispose](): void {
    this.end();
    this.#capture?.[Symbol.dispose]();
  }
}

function isSame(a: ExternalLink6, b: ExternalLink6 | null): boolean {
  return a.link === b?.link && a.name === b.name && a.address === b.address;
}
