/** Network outside of a simulated gateway that translates: what is captured there, and the NAT, by family. */
import { Ipv6Headers } from "../../../lib/core/nat/headers/ipv6_headers.ts";
import { Nat } from "../../../lib/core/nat/nat.ts";
import type { NatOptions } from "../../../lib/core/nat/nat_options.ts";
import type { DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { parseCidr, parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { addressOf6 } from "../../../lib/core/wire/ipv6_prefix.ts";
import type { Memory } from "../../../lib/core/wire/memory.ts";
import type { Device } from "../../../lib/core/wireguard/device.ts";
import { FakeCapture, FakeDatagramPort } from "./fake_ports.ts";

/** Packets outside; more than inside, as usual. */
const EXTERNAL_MTU = 1500;
/** By which all of IPv6 goes outside. */
export const ALL_PASS6 = { address: "::", prefixLength: 0, verdict: "pass" } as const;
/** Of the table of addresses. */
const SEED = 6;

/** Bytes of memory for one family, of which captures bring so many packets at once. */
export function outsideSize(batch: number): number {
  return FakeDatagramPort.arenaSize(batch) + Nat.generatedSize(EXTERNAL_MTU);
}

export interface Outside {
  readonly capture: FakeCapture;
  readonly nat: Nat;
}

export interface OutsideOptions {
  readonly memory: Memory;
  readonly drops: DropCounters;
  readonly mtu: number;
  readonly batch: number;
  readonly random: () => number;
}

/** Addresses of a gateway. */
export interface OutsideAddresses {
  /** Inner ones with their networks. */
  readonly tunnelAddress: string;
  readonly tunnelAddress6?: string;
  /** Those outside; left out, nothing of the family is translated. */
  readonly external?: string;
  readonly external6?: string;
}

/** @param offset of `outsideSize()` bytes, a multiple of 64 */
export function openOutside4(
  options: OutsideOptions,
  offset: number,
  { external, tunnelAddress }: OutsideAddresses,
): Outside | null {
  if (external === undefined) return null;
  const addresses = {
    externalAddress: parseIpv4(external)!,
    innerAddress: parseCidr(tunnelAddress)!.address,
  };
  return open(options, offset, addresses);
}

/** The same of IPv6, whose clients are the device's peers. */
export function openOutside6(
  { allowedIps6 }: Device,
  options: OutsideOptions,
  offset: number,
  { external6, tunnelAddress6 }: OutsideAddresses,
): Outside | null {
  if (external6 === undefined) return null;
  const headers = new Ipv6Headers(options.memory, SEED);
  return open(options, offset, {
    externalAddress: external6,
    innerAddress: addressOf6(tunnelAddress6!),
    headers,
    clientOf: (address) => allowedIps6.lookup(headers.holds.view, headers.holds.offsetOf(address)),
  });
}

function open(
  { memory, drops, mtu, batch, random }: OutsideOptions,
  offset: number,
  ofFamily: Pick<NatOptions, "externalAddress" | "innerAddress" | "headers" | "clientOf">,
): Outside {
  return {
    capture: new FakeCapture(memory, { offset, batch }),
    nat: new Nat({
      memory,
      drops,
      generated: offset + FakeDatagramPort.arenaSize(batch),
      externalMtu: EXTERNAL_MTU,
      innerMtu: mtu,
      ports: { first: 512, last: 65_535 },
      filtering: "endpoint",
      forwards: [],
      clientQuota: 4096,
      random,
      ...ofFamily,
    }),
  };
}
