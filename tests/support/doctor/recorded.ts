/** Firewalls that `record_firewalls.ts` has written down, and what becomes of a packet by them. */
import { readFirewall } from "../../../ffi/netlink/nftables/nftables_listing.ts";
import {
  Firewall,
  type Journey,
  type LegacyTables,
} from "../../../lib/commands/doctor/firewall/firewall.ts";
import {
  type PacketFamily,
  type PacketOptions,
  SupposedPacket,
} from "../../../lib/commands/doctor/firewall/packet.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import recorded from "./firewalls.json" with { type: "json" };

export type Name = keyof typeof recorded;

const PORT = 51_820;
/** As the recorder made it. */
const LINKS = new Map([["eth0", 7]]);
const NOTHING = { chains: [], rules: [], sets: [] };

export function firewall(name: Name): Firewall {
  const bodies = (texts: readonly string[]) => texts.map((text) => Uint8Array.fromBase64(text));
  const { chains, rules, sets, elements } = recorded[name];
  const listing = readFirewall({
    chains: bodies(chains),
    rules: bodies(rules),
    sets: bodies(sets),
    elements: bodies(elements),
  });
  return new Firewall(listing, { ip: new Map(), ip6: new Map() }, LINKS);
}

/** One of iptables' older half alone, as `iptables -S` prints it, or, of IPv6, `ip6tables -S`. */
export function legacyFirewall(tables: LegacyTables, family: PacketFamily = "ip"): Firewall {
  return new Firewall(NOTHING, { ip: new Map(), ip6: new Map(), [family]: tables });
}

/** From somebody to the port of a gateway. */
export function packet(options: Partial<PacketOptions> = {}): SupposedPacket {
  return new SupposedPacket({
    protocol: "udp",
    source: null,
    destination: parseIpv4("192.0.2.1"),
    destinationPort: PORT,
    input: "eth0",
    output: null,
    isLocal: true,
    ...options,
  });
}

/** The same by IPv6. */
export function packet6(options: Partial<PacketOptions> = {}): SupposedPacket {
  return packet({ destination: "2001:db8::1", ...options });
}

/** From that port to somebody. */
export function sent(options: Partial<PacketOptions> = {}): SupposedPacket {
  return packet({
    source: parseIpv4("192.0.2.1"),
    destination: null,
    sourcePort: PORT,
    destinationPort: 49_999,
    input: null,
    output: "eth0",
    isLocal: false,
    isEstablished: true,
    ...options,
  });
}

/**
 * What becomes of it: "accepted", or the fate at the first obstacle, with "but some" where a rule accepts particular
 * ones.
 */
export function fate(subject: Firewall, supposed = packet(), journey: Journey = "in"): string {
  const [obstacle] = subject.obstacles(journey, supposed);
  if (obstacle === undefined) return "accepted";
  const isPartial = obstacle.decision.exceptions.some((each) => each.fate === "accepted");
  return `${obstacle.decision.fate}${isPartial ? " but some" : ""}`;
}
