/**
 * Guest bridges: those that nobody but guests of the host is on, containers and virtual machines. What leaves by such a
 * bridge stays on the host: so a kill switch lets it pass, and a gateway forwards for the guests.
 *
 * A bridge that leads to others is none, whatever its ports are: one behind which a router stands, as a virtual machine
 * that has the network card, or the host of a container whose uplink is a port; and one that a cable joins to such a
 * bridge.
 */
import type { Link } from "../../../ffi/netlink/links.ts";
import { type Route, RouteType } from "../../../ffi/netlink/routes.ts";
import { MIN_NETWORK_LENGTH } from "./egress_plan.ts";

/**
 * Kinds of a bridge's ports behind which there are guests at most: a container, a virtual machine, one of those
 * elsewhere, nobody (LXD has a port of the last kind for the bridge's MTU).
 */
const GUEST_KINDS: readonly (string | null)[] = ["veth", "tun", "vxlan", "dummy"];

/** What of the host's network decides. */
export interface HostLinks {
  readonly links: { list(): readonly Link[] };
  readonly routes: { list(): readonly Route[] };
}

/** Their names. */
export function guestBridges({ links, routes }: HostLinks): string[] {
  const all = links.list();
  const guests = new Set(
    all.filter((link) => link.kind === "bridge" && hasGuestPorts(link, all))
      .map(({ index }) => index),
  );
  if (guests.size === 0) return [];
  for (const route of routes.list()) {
    if (leadsOutside(route)) guests.delete(route.link!);
  }
  // Each that is joined to one that is none is none either, and so on.
  for (let count = -1; count !== guests.size;) {
    count = guests.size;
    for (const index of guests) {
      if (neighboursOf(index, all).some((other) => !guests.has(other))) guests.delete(index);
    }
  }
  return all.filter(({ index }) => guests.has(index)).map(({ name }) => name);
}

function hasGuestPorts({ index }: Link, all: readonly Link[]): boolean {
  return all.every(({ master, kind }) => master !== index || GUEST_KINDS.includes(kind));
}

/** What the other ends of a bridge's veth ports are ports of, as far as those are in this namespace. */
function neighboursOf(bridge: number, all: readonly Link[]): number[] {
  return all.filter(({ master, kind }) => master === bridge && kind === "veth")
    .flatMap(({ lower }) => all.find(({ index }) => index === lower)?.master ?? []);
}

/** Whether it is a way to others than neighbours: by a router, or to so many addresses as no link has. */
function leadsOutside({ type, link, gateway, destination }: Route): boolean {
  return type === RouteType.unicast && link !== null &&
    (gateway !== null || destination.length < MIN_NETWORK_LENGTH);
}
