/**
 * Named hosts: keeps the addresses of the hosts that access rules name, by what the proxy answers to clients, and by
 * questions of its own. A client's first packet to a host may follow the answer by a millisecond: so an answer with an
 * address that was not known waits until the rules have it.
 */
import { addressQuery, AddressType } from "../../core/dns/address_query.ts";
import { HostAddresses } from "../../core/dns/host_addresses.ts";
import { addressesIn, FLAG_RESPONSE, parse, responseCode } from "../../core/dns/message.ts";
import { domainsOf, wireName } from "../../core/dns/wire_name.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import { guarded } from "../../process/guard.ts";

/** ms between two looks at what is to be asked for. */
export const LOOK_PAUSE = 10_000;
/** Names that are asked for at a time. */
const AT_ONCE = 8;

/** What is known of a host; `isOwn` where a resolver of our own, by `DnsRoute`, has its addresses. */
export interface NamedAddresses {
  readonly addresses: readonly HostAddress[];
  readonly isOwn: boolean;
}

export interface NamedHostsOptions {
  /** The answer to a query of the gateway itself; null for none. */
  readonly ask: (query: Uint8Array) => Promise<Uint8Array | null>;
  /** Whether clients have addresses of IPv6. */
  readonly hasIpv6: boolean;
  /** Takes the addresses of all hosts when they are others; resolves when they hold. */
  readonly onChange: (hosts: ReadonlyMap<string, NamedAddresses>) => Promise<void>;
  /** Monotonic ms. */
  readonly now: () => number;
}

export class NamedHosts implements Disposable {
  readonly #options: NamedHostsOptions;
  readonly #addresses = new HostAddresses();
  /** Names as they stand in messages, and as rules have them. */
  #names: ReadonlyMap<string, string> = new Map();
  /** Domains of resolvers of our own, as wire names. */
  #routes: ReadonlySet<string>;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param domains of `DnsRoute` */
  constructor(options: NamedHostsOptions, domains: readonly string[]) {
    this.#options = options;
    this.#routes = wireNames(domains);
  }

  /** Keeps the addresses of these from now on, and of no others. */
  async follow(names: ReadonlySet<string>): Promise<void> {
    if (!this.#addresses.isUsed && names.size === 0) return;
    this.#names = new Map(
      Array.from(names).flatMap((name): [string, string][] => {
        const wire = wireName(name);
        return wire === null ? [] : [[wire, name]];
      }),
    );
    this.#addresses.watch(new Set(this.#names.values()));
    if (names.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const look = guarded("dns", "asking for the addresses of hosts in rules", () => this.#look());
    this.#timer ??= setInterval(look, LOOK_PAUSE);
    await this.#look();
  }

  /** Takes these domains for those of resolvers of our own. */
  async setRoutes(domains: readonly string[]): Promise<void> {
    this.#routes = wireNames(domains);
    if (this.#addresses.isUsed) await this.#tell();
  }

  /** Takes an answer before its client has it. Resolves when the rules go by it. */
  async learn(answer: Uint8Array): Promise<void> {
    if (!this.#addresses.isUsed) return;
    const parsed = parse(answer);
    if (parsed === null || (parsed.flags & FLAG_RESPONSE) === 0) return;
    const name = this.#names.get(parsed.question.slice(0, -4));
    if (name === undefined || responseCode(parsed.flags) !== 0) return;
    const { timeToLive } = parsed;
    const addresses = addressesIn(answer, parsed);
    const { now } = this.#options;
    if (this.#addresses.learn(name, { addresses, timeToLive }, now())) await this.#tell();
  }

  /** Asks for nothing any more. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { now } = this.#options;
    if (this.#addresses.expire(now())) await this.#tell();
    const due = this.#addresses.takeDue(now());
    for (let i = 0; i < due.length; i += AT_ONCE) {
      await Promise.all(due.slice(i, i + AT_ONCE).map((name) => this.#ask(name)));
    }
  }

  async #ask(name: string): Promise<void> {
    const { ask, hasIpv6 } = this.#options;
    const types = hasIpv6 ? [AddressType.ipv4, AddressType.ipv6] : [AddressType.ipv4];
    await Promise.all(types.map(async (type) => {
      // The id is for those who ask over a network: the forwarder gives its own to what it sends.
      const query = addressQuery(name, 0, type);
      const answer = query === null ? null : await ask(query);
      if (answer !== null) await this.learn(answer);
    }));
  }

  #tell(): Promise<void> {
    const hosts = Array.from(this.#addresses.known, ([name, addresses]) => {
      const wire = wireName(name) ?? "";
      const isOwn = domainsOf(wire).some((domain) => this.#routes.has(domain));
      return [name, { addresses, isOwn }] as const;
    });
    return this.#options.onChange(new Map(hosts));
  }
}

function wireNames(domains: readonly string[]): ReadonlySet<string> {
  return new Set(domains.flatMap((domain) => wireName(domain) ?? []));
}
