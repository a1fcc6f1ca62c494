/**
 * Neighbour claims: which addresses of clients a gateway may answer for on its uplink. Nobody there may have one of
 * them already: who answered for it would take that host's packets.
 *
 * So each is asked for first, as a host does before it takes an address (RFC 4862 section 5.4): the kernel sends the
 * solicitation, and has a neighbour if there was an answer. What the host knows of itself and of its routers needs no
 * question, as a router may be silent at the moment.
 */
import { formatIp } from "../../../ffi/netlink/ip_address.ts";
import type { Neighbours } from "../../../ffi/netlink/neighbours.ts";
import { type Route, type Routes, RouteType } from "../../../ffi/netlink/routes.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { AF_INET6 } from "../../../ffi/socket_constants.ts";
import { addressBytes, type Ipv6Text } from "../../core/wire/host_address.ts";
import { guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";

/** ms that an answer may take: RetransTimer (RFC 4861 section 10). */
const ANSWER_TIME = 1_000;
/** Questions at a time: the kernel's table of neighbours has room for a thousand. */
const BATCH = 64;
/**
 * ms between two looks whether an address that was taken is free by now. More than the kernel takes to find that a
 * neighbour has gone (5 s until it asks, three questions).
 */
const RETRY_PAUSE = 10_000;
const HOST_LENGTH = 128;

/** What of the host is looked at. */
export interface NeighbourHost {
  readonly neighbours: Pick<Neighbours, "use" | "find">;
  readonly routes: Pick<Routes, "list">;
}

/** An interface. */
export interface ClaimLink {
  readonly name: string;
  /** Its index. */
  readonly link: number;
}

export interface NeighbourClaimsOptions {
  readonly host: NeighbourHost;
  readonly logger: Pick<Logger, "warn">;
  /** Called when other addresses are free than before. */
  readonly onChange: () => void;
}

export class NeighbourClaims implements Disposable {
  readonly #options: NeighbourClaimsOptions;
  #link: ClaimLink | null = null;
  #wanted: readonly Ipv6Text[] = [];
  readonly #free = new Set<Ipv6Text>();
  readonly #taken = new Set<Ipv6Text>();
  /** Those that have been asked for just now. */
  #asked: readonly Ipv6Text[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: NeighbourClaimsOptions) {
    this.#options = options;
  }

  /** Those of the wanted ones that nobody has there, as far as is known by now. */
  get free(): readonly Ipv6Text[] {
    return this.#wanted.filter((address) => this.#free.has(address));
  }

  /** Which addresses are wanted, and on which interface; null for none. */
  want(link: ClaimLink | null, addresses: readonly Ipv6Text[]): void {
    if (link?.link !== this.#link?.link) {
      this.#free.clear();
      this.#taken.clear();
      this.#asked = [];
    }
    this.#link = link;
    this.#wanted = link === null ? [] : addresses;
    const wanted = new Set(this.#wanted);
    for (const known of [this.#free, this.#taken]) {
      for (const address of known) if (!wanted.has(address)) known.delete(address);
    }
    if (this.#asked.length === 0) this.#askForUnknown();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#link = null;
  }

  /** Asks for those of which nothing is known; where there are none, later for those that were taken. */
  #askForUnknown(): void {
    clearTimeout(this.#timer);
    const unknown = this.#wanted.filter((each) => !this.#free.has(each) && !this.#taken.has(each));
    if (unknown.length > 0) this.#ask(unknown);
    else if (this.#taken.size > 0) this.#after(RETRY_PAUSE, () => this.#ask([...this.#taken]));
  }

  #ask(addresses: readonly Ipv6Text[]): void {
    if (this.#link === null) return;
    const { link } = this.#link;
    const { neighbours, routes } = this.#options.host;
    const known = knownAddresses(routes.list({ family: AF_INET6 }), link);
    for (const address of addresses) {
      const owner = known.get(address);
      if (owner !== undefined) this.#refuse(address, owner);
    }
    this.#asked = addresses.filter((each) => !known.has(each)).slice(0, BATCH);
    try {
      for (const each of this.#asked) neighbours.use({ link, address: addressBytes(each) });
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      // The interface is down, or has gone: nobody can be asked there now.
      this.#asked = [];
    }
    this.#after(ANSWER_TIME, () => this.#takeAnswers());
  }

  #takeAnswers(): void {
    if (this.#link === null) return;
    const { link } = this.#link;
    const asked = this.#asked;
    this.#asked = [];
    for (const address of asked) {
      if (!this.#wanted.includes(address)) continue;
      const neighbour = this.#options.host.neighbours.find({
        link,
        address: addressBytes(address),
      });
      const hardware = neighbour?.hardwareAddress ?? null;
      if (hardware !== null) {
        const text = Array.from(hardware, (byte) => byte.toString(16).padStart(2, "0")).join(":");
        this.#refuse(address, `a host there (${text})`);
        continue;
      }
      this.#taken.delete(address);
      this.#free.add(address);
    }
    if (asked.length > 0) this.#options.onChange();
    this.#askForUnknown();
  }

  #refuse(address: Ipv6Text, owner: string): void {
    if (this.#taken.has(address)) return;
    this.#taken.add(address);
    this.#options.logger.warn(
      "{address} of a peer is not answered for on {device}: it is in use by {owner}",
      { address, device: this.#link?.name, owner },
    );
  }

  #after(ms: number, call: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(guarded("server", "asking for neighbours", call), ms);
  }
}

/** Addresses of which the host knows whose they are, with that. */
function knownAddresses(routes: readonly Route[], link: number): Map<Ipv6Text, string> {
  const known = new Map<Ipv6Text, string>();
  for (const { type, destination: { address, length }, gateway, link: to } of routes) {
    if (gateway !== null && to === link) known.set(formatIp(gateway), "a router");
    const isOwn = type === RouteType.local || type === RouteType.anycast;
    if (isOwn && length === HOST_LENGTH) known.set(formatIp(address), "this host");
  }
  return known;
}
