/** Egress families: what egress rules have to know of a family of addresses. */
import { CLOUD_SERVICES, CLOUD_SERVICES6 } from "../wire/cloud_services.ts";
import { type HostAddress, ipv6Bytes, type Ipv6Text } from "../wire/host_address.ts";
import { formatCidr, type Ipv4Prefix, parseCidr, prefixMask } from "../wire/ipv4_text.ts";
import { formatCidr6, network6, parseCidr6, splitCidr6, translated } from "../wire/ipv6_prefix.ts";
import { AllowedIps } from "../wireguard/allowed_ips.ts";
import { AllowedIps6 } from "../wireguard/allowed_ips6.ts";

/** `Ipv4Prefix` or `Ipv6Prefix`. */
export interface PrefixOf<Address extends HostAddress> {
  readonly address: Address;
  readonly prefixLength: number;
}

/** Values by prefix; the longest one that holds an address decides. */
interface PrefixTable<Address extends HostAddress, T> {
  insert(prefix: PrefixOf<Address>, value: T): void;
  lookup(address: Address): T | null;
}

export interface EgressFamily<Address extends HostAddress> {
  /** Of an address. */
  readonly bits: number;
  readonly all: PrefixOf<Address>;
  /** What is refused as the networks of the gateway's interfaces are, though it may look like any other. */
  readonly networks: readonly PrefixOf<Address>[];
  /** Whether no entry opens the gateway's own addresses. */
  readonly isOwnClosed: boolean;
  /** Whether that holds for the one that the egress sends from, too. */
  readonly isExternalClosed: boolean;
  /** What no entry opens besides. */
  readonly closed: readonly PrefixOf<Address>[];
  table<T extends NonNullable<unknown>>(): PrefixTable<Address, T>;
  /** A prefix without its host bits, and a text that is the same for the same one. */
  keyOf(prefix: PrefixOf<Address>): { readonly key: string; readonly network: PrefixOf<Address> };
  /** Addresses of a network that are no host's. */
  nobodies(prefix: PrefixOf<Address>): Address[];
}

export const IPV4_EGRESS: EgressFamily<number> = {
  bits: 32,
  all: { address: 0, prefixLength: 0 },
  networks: CLOUD_SERVICES,
  isOwnClosed: false,
  isExternalClosed: false,
  closed: [],
  table: ipv4Table,
  keyOf: (prefix) => {
    const network = withoutHostBits(prefix);
    return { key: formatCidr(network), network };
  },
  nobodies: (prefix) => prefix.prefixLength > 30 ? [] : endsOf(prefix),
};

/**
 * Of translators within one network, which may lead to all that IPv4 has there (RFC 8215 section 5); where each address
 * of IPv4 stands in it, only that network knows.
 */
const LOCAL_TRANSLATORS = parseCidr6("64:ff9b:1::/48")!;
/** What no packet of IPv4 may go to (`isMartian()`), and what a translator should refuse but need not. */
const MARTIANS = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"]
  .map((text) => parseCidr(text)!);

export const IPV6_EGRESS: EgressFamily<Ipv6Text> = {
  bits: 128,
  all: { address: "::", prefixLength: 0 },
  networks: [LOCAL_TRANSLATORS],
  isOwnClosed: true,
  isExternalClosed: true,
  closed: [
    ...CLOUD_SERVICES6,
    ...[...MARTIANS, ...CLOUD_SERVICES].map(translated),
  ],
  table: ipv6Table,
  keyOf: (prefix) => {
    const key = network6(formatCidr6(prefix));
    return { key, network: splitCidr6(key) };
  },
  // There is no broadcast; a network's first address is its routers' (RFC 4291 section 2.6.1).
  nobodies: () => [],
};

function ipv4Table<T extends NonNullable<unknown>>(): PrefixTable<number, T> {
  const table = new AllowedIps<T>();
  return {
    insert: ({ address, prefixLength }, value) => table.insert(address, prefixLength, value),
    lookup: (address) => table.lookup(address),
  };
}

function ipv6Table<T extends NonNullable<unknown>>(): PrefixTable<Ipv6Text, T> {
  const table = new AllowedIps6<T>();
  return {
    insert: (prefix, value) => table.insert(formatCidr6(prefix), value),
    lookup: (address) => table.lookup(new DataView(ipv6Bytes(address).buffer), 0),
  };
}

/** The first and the last address: the network's own, and that of all of its hosts. */
function endsOf(prefix: Ipv4Prefix): [number, number] {
  const { address, prefixLength } = withoutHostBits(prefix);
  return [address, (address | ~prefixMask(prefixLength)) >>> 0];
}

function withoutHostBits({ address, prefixLength }: Ipv4Prefix): Ipv4Prefix {
  return { address: (address & prefixMask(prefixLength)) >>> 0, prefixLength };
}
