/** Network of relay tests: two hosts, a router between them that lets no UDP through, and a relay on each. */
import type { BackgroundProcess, TestNamespace, Topology } from "../../support/net.ts";
import { withoutIpv6Autoconfiguration } from "./host_state.ts";
import { vpnCommand } from "./programs/vpn.ts";
import { carrierOn } from "./wire.ts";
import { giveIpv6 } from "./ipv6_addresses.ts";

/** Programs that a test with such a network needs. */
export const RELAY_PROGRAMS: readonly string[] = ["ip", "nft", "sysctl"];

/** Outer addresses, from the documentation networks of RFC 5737. */
export const NEAR = "192.0.2.2";
export const FAR = "198.51.100.2";
/** Where the near relay takes datagrams. */
export const LISTEN_PORT = 4500;
export const TCP_PORT = 443;

const ROUTER_NEAR = "192.0.2.1";
const ROUTER_FAR = "198.51.100.1";

/** The hosts, by what the relays' clients see. */
export interface BrokenNetwork {
  readonly near: TestNamespace;
  readonly router: TestNamespace;
  readonly far: TestNamespace;
}

/** Joins two hosts by a router that drops all UDP, and the TCP segments that connection tracking finds invalid. */
export async function layBrokenNetwork(topology: Topology): Promise<BrokenNetwork> {
  const near = topology.namespace("near");
  const router = topology.namespace("router");
  const far = topology.namespace("far");
  for (const namespace of [near, router, far]) withoutIpv6Autoconfiguration(namespace);
  topology.cable(
    { namespace: near, name: "eth0", address: `${NEAR}/24` },
    { namespace: router, name: "near", address: `${ROUTER_NEAR}/24` },
  );
  topology.cable(
    { namespace: far, name: "eth0", address: `${FAR}/24` },
    { namespace: router, name: "far", address: `${ROUTER_FAR}/24` },
  );
  await Promise.all([near, far].map((namespace) => carrierOn(namespace)));
  await near.output(["ip", "route", "add", "default", "via", ROUTER_NEAR]);
  await far.output(["ip", "route", "add", "default", "via", ROUTER_FAR]);
  await router.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
  await router.output(["nft", "-f", "-"], {
    stdin: `table inet strict {
      counter dropped_udp {}
      counter dropped_invalid {}
      chain forward {
        type filter hook forward priority filter;
        meta l4proto udp counter name dropped_udp drop
        meta l4proto tcp ct state invalid counter name dropped_invalid drop
      }
    }`,
  });
  return { near, router, far };
}

/** The far host's address of IPv6. */
export const FAR6 = "2001:db8:f::2";

/** Lays the same path for IPv6 beside that of IPv4. */
export async function addIpv6({ near, router, far }: BrokenNetwork): Promise<void> {
  const add = (namespace: TestNamespace, device: string, address: string) =>
    giveIpv6(namespace, device, `${address}/64`);
  await Promise.all([
    ...[add(near, "eth0", "2001:db8:a::2"), add(router, "near", "2001:db8:a::1")],
    ...[add(far, "eth0", FAR6), add(router, "far", "2001:db8:f::1")],
    // By which a router asks for the neighbours of what it forwards.
    ...[add(router, "near", "fe80::1"), add(router, "far", "fe80::1")],
    router.output(["sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1"]),
  ]);
  await near.output(["ip", "-6", "route", "add", "default", "via", "2001:db8:a::1"]);
  await far.output(["ip", "-6", "route", "add", "default", "via", "2001:db8:f::1"]);
}

/** Packets that the router has counted for a reason. */
export async function droppedBy(
  router: TestNamespace,
  counter: "udp" | "invalid",
): Promise<number> {
  const text = await router.output([
    "nft",
    "list",
    "counter",
    "inet",
    "strict",
    `dropped_${counter}`,
  ]);
  return Number(/packets (\d+)/.exec(text)?.[1]);
}

/** Starts `vpn relay` and waits until it relays. */
export async function startRelay(
  namespace: TestNamespace,
  { listen, connect }: { readonly listen: string; readonly connect: string },
  ...args: readonly string[]
): Promise<BackgroundProcess> {
  const process = namespace.spawn(
    vpnCommand("relay", "--listen", listen, "--connect", connect, ...args),
  );
  await process.waitFor(/relaying/);
  return process;
}

/** Starts both relays, before a service at `target` of the far host. */
export async function startRelays(
  { near, far }: BrokenNetwork,
  target: string,
): Promise<{ readonly nearRelay: BackgroundProcess; readonly farRelay: BackgroundProcess }> {
  const [farRelay, nearRelay] = await Promise.all([
    startFarRelay(far, target),
    startRelay(near, {
      listen: `udp://127.0.0.1:${LISTEN_PORT}`,
      connect: `faketcp://${FAR}:${TCP_PORT}`,
    }),
  ]);
  return { nearRelay, farRelay };
}

export function startFarRelay(far: TestNamespace, target: string): Promise<BackgroundProcess> {
  return startRelay(far, {
    listen: `faketcp://0.0.0.0:${TCP_PORT}`,
    connect: `udp://${target}`,
  });
}
