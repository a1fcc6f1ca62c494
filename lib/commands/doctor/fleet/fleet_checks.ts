/** Checks of a gateway's fleet: who has its virtual address, and how the other gateways are reached. */
import { openLibc } from "../../../../ffi/libc.ts";
import type { Link } from "../../../../ffi/netlink/links.ts";
import { isIpv6, parseAddress } from "../../../core/wire/host_address.ts";
import {
  CLOCK_TOLERANCE,
  clockError,
  type FleetGatewayStatus,
  type VirtualAddressStatus,
} from "../../../control/fleet/store_status.ts";
import { ownPlace } from "../../../host/network/own_place.ts";
import { type Check, fail, ok, type Verdict, warn } from "../check.ts";
import { type EchoTrial, tryEcho } from "../echo_trial.ts";
import type { Subject } from "../subject.ts";
import { claimsOf } from "./address_claims.ts";

/** Bytes of packets that are tried besides those as long as the interface takes, and ms for all of them. */
const LENGTHS = [1500, 1400, 1280, 576];
const ECHO_TIMEOUT = 1_500;

export const FLEET_CHECKS: readonly Check[] = [
  { name: "running-virtual-address", look: checkVirtualAddress },
  { name: "fleet-address", look: checkClaims },
  { name: "running-fleet-clocks", look: checkClocks },
  { name: "fleet-paths", look: checkPaths },
];

async function virtualAddressOf(subject: Subject): Promise<VirtualAddressStatus | null> {
  const running = await subject.running();
  return running.kind === "known" ? running.status.store?.virtualAddress ?? null : null;
}

/** The interface of this host that is in the network of the fleet's address; null for none. */
function linkOfFleet({ netlink, options, server }: Subject): Link | null {
  const network = server?.interface.virtualAddress ?? null;
  if (network === null) return null;
  const place = ownPlace(netlink, network, netlink.links.find(options.interfaceName)?.index ?? 0);
  return place === null ? null : netlink.links.get(place.link);
}

/** Whether a gateway of the fleet has the address, and those that could take it are there. */
async function checkVirtualAddress(subject: Subject): Promise<Verdict[]> {
  const virtualAddress = await virtualAddressOf(subject);
  if (virtualAddress === null) return [];
  const { address, holder, gateways } = virtualAddress;
  const down = gateways.filter(({ isUp }) => !isUp)
    .map(({ name, endpoint }) => `${name} (${endpoint})`).join(", ");
  const remedy =
    "let the gateways reach each other by UDP on these ports, start those that do not run, and take out " +
    "those that are gone with `vpn fleet remove`";
  if (holder === null) {
    const why = down === "" ? "they have not agreed on one yet" : `no answer comes from ${down}`;
    return [fail(`no gateway has the virtual address ${address}: ${why}`, remedy)];
  }
  return [
    down === ""
      ? ok(
        `gateway ${holder} has the virtual address ${address}, and all ${gateways.length} are there`,
      )
      : warn(`no answer comes from ${down}: fewer gateways can take the virtual address`, remedy),
  ];
}

/** That no other host answers for the address, or a second one of the fleet's. */
async function checkClaims(subject: Subject): Promise<Verdict[]> {
  const virtualAddress = await virtualAddressOf(subject);
  const link = linkOfFleet(subject);
  if (virtualAddress === null || link === null) return [];
  const { address } = subject.server!.interface.virtualAddress!;
  const claims = await claimsOf(openLibc(), link, address);
  return claims === null ? [] : [judgeClaims(virtualAddress, link.name, claims)];
}

/** What the answers mean that came by an interface to the question for the address. */
export function judgeClaims(
  { address, holder, isHere }: Pick<VirtualAddressStatus, "address" | "holder" | "isHere">,
  device: string,
  claims: readonly string[],
): Verdict {
  const hosts = claims.join(", ");
  if (claims.length + Number(isHere) > 1) {
    return fail(
      `${isHere ? "another host" : "more than one host"} on ${device} answers for the virtual ` +
        `address ${address}: ${hosts}: clients' packets go to one or the other`,
      `take ${address} off the host that is no gateway; ` +
        `\`ip neigh show dev ${device}\` on a neighbour tells which host has which of these`,
    );
  }
  if (claims.length === 0 && !isHere && holder !== null) {
    return warn(
      `nobody on ${device} answers for the virtual address ${address}, which gateway ${holder} has`,
      `on that gateway: \`sysctl net.ipv4.conf.all.arp_ignore\` must say 0, and its network be this one`,
    );
  }
  return ok(`no two hosts on ${device} answer for the virtual address ${address}`);
}

/** Peers' access ends, and sessions are compared, by the clocks of all gateways. */
async function checkClocks(subject: Subject): Promise<Verdict[]> {
  const virtualAddress = await virtualAddressOf(subject);
  if (virtualAddress === null) return [];
  const others = virtualAddress.gateways.filter(({ isSelf, clockOffset }) =>
    !isSelf && clockOffset !== null
  );
  const off = others.flatMap((gateway) => {
    const error = clockError(gateway);
    return error === null ? [] : [`${gateway.name} is ${error}`];
  });
  if (others.length === 0) return [];
  return [
    off.length === 0
      ? ok(`the clocks of the other gateways are within ${CLOCK_TOLERANCE} s of this one's`)
      : warn(
        `clocks of the fleet differ: ${off.join(", ")}`,
        "have all gateways set their clocks by NTP, as chrony and systemd-timesyncd do",
      ),
  ];
}

/** What the gateways hand over to each other is as long as a client's packets, and then some. */
async function checkPaths(subject: Subject): Promise<Verdict[]> {
  const virtualAddress = await virtualAddressOf(subject);
  const link = linkOfFleet(subject);
  if (virtualAddress === null || link === null) return [];
  const { mtu } = link;
  const others = virtualAddress.gateways.filter(({ isSelf, isUp }) => !isSelf && isUp);
  const trials = others.map(async (gateway) => {
    const address = parseAddress(gateway.endpoint.slice(0, gateway.endpoint.lastIndexOf(":")));
    if (address === null || isIpv6(address)) return [];
    const lengths = [mtu, ...LENGTHS.filter((length) => length < mtu)];
    return [judgePath(gateway, mtu, await tryEcho(address, { lengths, timeout: ECHO_TIMEOUT }))];
  });
  return (await Promise.all(trials)).flat();
}

/** What it means that the longest packet which a gateway has answered is so long. */
export function judgePath(
  { name, endpoint }: Pick<FleetGatewayStatus, "name" | "endpoint">,
  mtu: number,
  { longest }: EchoTrial,
): Verdict {
  if (longest >= mtu) return ok(`packets of ${mtu} bytes reach gateway ${name}`);
  if (longest === 0) {
    return ok(`gateway ${name} answers no pings: how long packets to it may be is not known`);
  }
  return warn(
    `packets of ${mtu} bytes do not reach gateway ${name} (${endpoint}), those of ${longest} do: ` +
      "what gateways hand over to each other is lost where it is longer",
    "give the interfaces of all gateways and the switches between them the same MTU",
  );
}
