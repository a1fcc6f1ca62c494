/**
 * Local zone: a domain that the proxy itself answers for, with the names and addresses of hosts, and the names of their
 * addresses (RFC 1035 section 3.5). What is in the domain or in the hosts' networks is never asked of anybody else.
 */
import {
  failure,
  type Parsed,
  RCODE_NAME_ERROR,
  RCODE_NO_ERROR,
  RCODE_SERVER_FAILURE,
  type ResourceData,
} from "./message.ts";
import {
  bytesOf,
  type OwnAnswer,
  ownAnswer,
  questionOf,
  soaRecord,
  TYPE_A,
  TYPE_AAAA,
  TYPE_ANY,
  TYPE_SOA,
} from "./own_answer.ts";
import { domainsOf, wireName } from "./wire_name.ts";
import {
  addressBytes,
  canonicalIpv6,
  type HostAddress,
  IPV6_SIZE,
  isIpv6,
} from "../wire/host_address.ts";
import { type Ipv6PrefixText, isWithin6 } from "../wire/ipv6_prefix.ts";

const TYPE_PTR = 12;
const CLASS_IN = 1;
const CLASS_ANY = 255;
/** Seconds for which others may keep an answer: a peer that is renamed or removed is so at once. */
const TIME_TO_LIVE = 10;
const REVERSE = wireName("in-addr.arpa")!;
const REVERSE6 = wireName("ip6.arpa")!;

/** A host by the name that a person has given it. */
export interface NamedHost {
  readonly name: string;
  /** Of either family. */
  readonly addresses: readonly HostAddress[];
}

export interface LocalZoneOptions {
  /** The domain, in ASCII, as in `vpn`. */
  readonly domain: string;
  /** Of two whose names are one in DNS the one that is written so has it, or else the first. */
  readonly hosts: readonly NamedHost[];
  /** Networks whose addresses are the hosts' or nobody's; host order. */
  readonly networks: readonly { readonly address: number; readonly mask: number }[];
  /** The same of IPv6; none if left out. */
  readonly networks6?: readonly Ipv6PrefixText[];
}

export class LocalZone {
  readonly #options: LocalZoneOptions;
  readonly #apex: string;
  /** By wire name: who could have it, in the order in which they came, and whether it is written so. */
  readonly #claims = new Map<string, Map<NamedHost, boolean>>();
  /** By address: hosts, and the names that they could have. */
  readonly #hosts = new Map<HostAddress, Map<NamedHost, string>>();
  /** Names between the domain and a host's, as of `anna` for `laptop.anna`, and how many are within. */
  readonly #between = new Map<string, number>();
  /** False while hosts are still to come: of a name that is not known by then nobody is told that there is none. */
  isComplete = true;

  /** @throws {RangeError} for a domain that is none */
  constructor(options: LocalZoneOptions) {
    const { domain, hosts } = options;
    const apex = wireName(domain);
    if (apex === null) throw new RangeError(`Cannot answer for ${JSON.stringify(domain)}`);
    this.#options = options;
    this.#apex = apex;
    for (const host of hosts) this.add(host);
  }

  // Hosts: what one costs does not depend on how many others there are.

  /** Takes one more, which comes after all that there are. */
  add(host: NamedHost): void {
    const name = hostName(host.name);
    const wire = name === null ? null : this.#wireOf(name);
    if (wire === null) return;
    const claims = this.#claims.get(wire) ?? new Map<NamedHost, boolean>();
    if (claims.size === 0) {
      this.#claims.set(wire, claims);
      this.#countBetween(wire, 1);
    }
    claims.set(host, name === host.name);
    for (const address of host.addresses) {
      const hosts = this.#hosts.get(address) ?? new Map<NamedHost, string>();
      this.#hosts.set(address, hosts.set(host, wire));
    }
  }

  /** Forgets one that was added: that very object. */
  remove(host: NamedHost): void {
    const name = hostName(host.name);
    const wire = name === null ? null : this.#wireOf(name);
    const claims = wire === null ? undefined : this.#claims.get(wire);
    if (wire === null || !claims?.delete(host)) return;
    if (claims.size === 0) {
      this.#claims.delete(wire);
      this.#countBetween(wire, -1);
    }
    for (const address of host.addresses) {
      const hosts = this.#hosts.get(address);
      hosts?.delete(host);
      if (hosts?.size === 0) this.#hosts.delete(address);
    }
  }

  #wireOf(name: string): string | null {
    return wireName(`${name}.${this.#options.domain}`);
  }

  #countBetween(wire: string, change: number): void {
    for (const domain of domainsOf(wire)) {
      if (domain === this.#apex) return;
      if (domain === wire) continue;
      const count = (this.#between.get(domain) ?? 0) + change;
      if (count > 0) this.#between.set(domain, count);
      else this.#between.delete(domain);
    }
  }

  /** Who has a name: of those with addresses the first whose name is written so, or else the first. */
  #holderOf(wire: string): NamedHost | null {
    let first: NamedHost | null = null;
    for (const [host, isLiteral] of this.#claims.get(wire) ?? []) {
      if (host.addresses.length === 0) continue;
      if (isLiteral) return host;
      first ??= host;
    }
    return first;
  }

  /** The addresses of a name; undefined of one that is not there. */
  #addressesOf(wire: string): readonly HostAddress[] | undefined {
    const isThere = this.#claims.has(wire) || this.#between.has(wire) || wire === this.#apex;
    return isThere ? this.#holderOf(wire)?.addresses ?? [] : undefined;
  }

  /** The name of an address; undefined of one that has none. */
  #nameOf(address: HostAddress): string | undefined {
    for (const [host, wire] of this.#hosts.get(address) ?? []) {
      if (this.#holderOf(wire) === host) return wire;
    }
    return undefined;
  }

  /**
   * The answer to a query; null for what somebody else is to be asked.
   *
   * @param limit bytes of the longest answer
   */
  answer(query: Uint8Array, parsed: Parsed, limit: number): Uint8Array | null {
    const { name, type, recordClass } = questionOf(parsed);
    if (recordClass !== CLASS_IN && recordClass !== CLASS_ANY) return null;
    const found = this.#forward(name, type) ?? this.#reverse(name, type);
    if (found === null) return null;
    if (found.code === RCODE_NAME_ERROR && !this.isComplete) {
      return failure(query, RCODE_SERVER_FAILURE);
    }
    return ownAnswer(query, parsed, { ...found, timeToLive: TIME_TO_LIVE }, limit);
  }

  #forward(name: string, type: number): Found | null {
    if (!isWithin(name, this.#apex)) return null;
    const zone = this.#apex;
    const addresses = this.#addressesOf(name);
    if (addresses === undefined) return { code: RCODE_NAME_ERROR, records: [], zone };
    const records = addresses.map((address): ResourceData => ({
      type: isIpv6(address) ? TYPE_AAAA : TYPE_A,
      timeToLive: TIME_TO_LIVE,
      data: [...addressBytes(address)],
    })).filter((record) => type === record.type || type === TYPE_ANY);
    if (name === zone && (type === TYPE_SOA || type === TYPE_ANY)) {
      records.push(soaRecord(zone, TIME_TO_LIVE));
    }
    return { code: RCODE_NO_ERROR, records, zone };
  }

  #isInside(address: HostAddress): boolean {
    const { networks, networks6 = [] } = this.#options;
    return isIpv6(address)
      ? networks6.some((network) => isWithin6(`${address}/128`, network))
      : networks.some((network) => ((address ^ network.address) & network.mask) === 0);
  }

  /** Of names of whole addresses. */
  #reverse(name: string, type: number): Found | null {
    const address = addressOf(name);
    if (address === null) return null;
    const target = this.#nameOf(address);
    if (target === undefined && !this.#isInside(address)) return null;
    const zone = name.slice(1 + name.charCodeAt(0));
    if (target === undefined) return { code: RCODE_NAME_ERROR, records: [], zone };
    const records = type === TYPE_PTR || type === TYPE_ANY
      ? [{ type: TYPE_PTR, timeToLive: TIME_TO_LIVE, data: bytesOf(target) }]
      : [];
    return { code: RCODE_NO_ERROR, records, zone };
  }
}

type Found = Omit<OwnAnswer, "timeToLive">;

/** The address that a name of the reverse tree stands for; null for other names, and for parts of addresses. */
function addressOf(name: string): HostAddress | null {
  const isReverse = name.endsWith(REVERSE);
  if (!isReverse && !name.endsWith(REVERSE6)) return null;
  const labels = [...domainsOf(name)].map((domain) => domain.slice(1, 1 + domain.charCodeAt(0)))
    .slice(0, -2).reverse();
  if (isReverse) {
    const isAddress = labels.length === 4 &&
      labels.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) < 256);
    return isAddress ? labels.reduce((sum, octet) => sum * 256 + Number(octet), 0) : null;
  }
  // RFC 3596 section 2.5: hexadecimal digits, one a label.
  if (labels.length !== 2 * IPV6_SIZE || !labels.every((digit) => /^[0-9a-f]$/.test(digit))) {
    return null;
  }
  return canonicalIpv6(labels.join("").replace(/.{4}(?=.)/g, "$&:"));
}

function isWithin(name: string, apex: string): boolean {
  for (const domain of domainsOf(name)) if (domain === apex) return true;
  return false;
}

/**
 * What a person's name for a host is in DNS: lower case, a hyphen for what cannot stand there, apostrophes left out,
 * other scripts as RFC 5891 has them; null where nothing is left.
 */
export function hostName(name: string): string | null {
  // Most are so, and thousands may be read at once.
  if (/^[a-z0-9]+(-+[a-z0-9]+)*$/.test(name)) return name;
  const labels = name.normalize("NFKC").toLowerCase().replace(/['\u2019]/g, "")
    .replace(/[^\p{L}\p{M}\p{N}.]+/gu, "-")
    .split(".").map((label) => label.replace(/^-+|-+$/g, "")).filter((label) => label !== "");
  if (labels.length === 0) return null;
  const host = labels.join(".");
  if (/^[a-z0-9.-]*$/.test(host)) return host;
  // Behind the last label another one, as a last one of digits would make it an address.
  return URL.parse(`http://${host}.x/`)?.hostname.slice(0, -2) ?? null;
}
