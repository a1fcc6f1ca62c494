/** Outer network of tunnel tests: a client and a server joined by a cable, and what they are called. */
import { type TestNamespace, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { withoutIpv6Autoconfiguration } from "./host_state.ts";
import { giveIpv6 } from "./ipv6_addresses.ts";

/** Outer addresses, from the documentation networks of RFC 5737. */
export const SERVER_OUTSIDE = "192.0.2.1";
export const CLIENT_OUTSIDE = "192.0.2.2";
/** Where a client that roams goes. */
export const CLIENT_ROAMED = "192.0.2.3";
/** The interface of both ends. */
export const CABLE = "eth0";
export const SERVER_PORT = 51820;
/** `Endpoint` of the server. */
export const SERVER_ENDPOINT: string = `${SERVER_OUTSIDE}:${SERVER_PORT}`;

/** The same of IPv6, from that of RFC 3849. */
export const SERVER_OUTSIDE6 = "2001:db8::1";
export const CLIENT_OUTSIDE6 = "2001:db8::2";
export const SERVER_ENDPOINT6: string = `[${SERVER_OUTSIDE6}]:${SERVER_PORT}`;

/** What the tunnel travels by: for tests that are the same over both. */
export interface Outer {
  readonly family: "IPv4" | "IPv6";
  readonly endpoint: string;
  /** The client's address as it stands in front of a port. */
  readonly client: string;
}
export const OUTERS: readonly Outer[] = [
  { family: "IPv4", endpoint: SERVER_ENDPOINT, client: CLIENT_OUTSIDE },
  { family: "IPv6", endpoint: SERVER_ENDPOINT6, client: `[${CLIENT_OUTSIDE6}]` },
];

/** Inner addresses. */
export const SERVER_INSIDE = "10.66.77.1";
export const CLIENT_INSIDE = "10.66.77.2";
export const SUBNET = "10.66.77.0/24";

/** The two ends of a cable. */
export interface Wire {
  readonly client: TestNamespace;
  readonly server: TestNamespace;
}

/** Makes a client's and a server's namespace and joins them. */
export async function layWire(topology: Topology): Promise<Wire> {
  const server = topology.namespace("server");
  const client = topology.namespace("client");
  withoutIpv6Autoconfiguration(server);
  withoutIpv6Autoconfiguration(client);
  topology.cable(
    { namespace: client, name: CABLE, address: `${CLIENT_OUTSIDE}/24` },
    { namespace: server, name: CABLE, address: `${SERVER_OUTSIDE}/24` },
  );
  await Promise.all([client, server].map((namespace) => carrierOn(namespace)));
  return { client, server };
}

/** Gives both ends of the cable IPv6 addresses besides those of IPv4. */
export async function addIpv6({ client, server }: Wire): Promise<void> {
  await Promise.all([
    giveIpv6(client, CABLE, `${CLIENT_OUTSIDE6}/64`),
    giveIpv6(server, CABLE, `${SERVER_OUTSIDE6}/64`),
  ]);
}

/** The same for a tunnel over one family alone: of IPv6, the ends have no address of IPv4 then. */
export async function layWireOf(topology: Topology, { family }: Outer): Promise<Wire> {
  const wire = await layWire(topology);
  if (family === "IPv4") return wire;
  await addIpv6(wire);
  for (const namespace of [wire.client, wire.server]) {
    await namespace.output(["ip", "-4", "address", "flush", "dev", CABLE]);
  }
  return wire;
}

/** Waits until the kernel has taken note of the cable: it does so some time after both ends are up. */
export async function carrierOn(namespace: TestNamespace, device = CABLE): Promise<void> {
  await eventually(async () => {
    const link = await namespace.output(["ip", "link", "show", "dev", device]);
    const routes = await namespace.output(["ip", "-6", "route", "show", "table", "local"]);
    return link.includes("state UP") && routes.includes(device) || null;
  }, { interval: 10, what: `a carrier on ${device}` });
}

/** Takes the client's address away and gives it another, as a network does that renumbers its hosts. */
export async function changeAddress(client: TestNamespace): Promise<void> {
  await client.output(["ip", "-batch", "-"], {
    stdin: `address delete ${CLIENT_OUTSIDE}/24 dev ${CABLE}\n` +
      `address add ${CLIENT_ROAMED}/24 dev ${CABLE}\n`,
  });
}

/** The server's address where two ways lead to it. */
export const FAR_SERVER = "203.0.113.1";
/** The client's address on the second way. */
export const CLIENT_ELSEWHERE = "198.51.100.2";
const SECOND_CABLE = "eth1";
const SERVER_ELSEWHERE = "198.51.100.1";

/** Makes a client's and a server's namespace and joins them twice; the first cable is used while it is there. */
export async function layTwoWires(topology: Topology): Promise<Wire> {
  const wire = await layWire(topology);
  topology.cable(
    { namespace: wire.client, name: SECOND_CABLE, address: `${CLIENT_ELSEWHERE}/24` },
    { namespace: wire.server, name: SECOND_CABLE, address: `${SERVER_ELSEWHERE}/24` },
  );
  await wire.server.output(["ip", "address", "add", `${FAR_SERVER}/32`, "dev", "lo"]);
  await wire.client.output(["ip", "-batch", "-"], {
    stdin: `route add ${FAR_SERVER} via ${SERVER_OUTSIDE} metric 1\n` +
      `route add ${FAR_SERVER} via ${SERVER_ELSEWHERE} metric 2\n`,
  });
  return wire;
}

/** Takes the client off the first cable, as a phone that leaves a house; its address there stays with it. */
export async function changeNetwork(client: TestNamespace): Promise<void> {
  await client.output(["ip", "link", "set", CABLE, "down"]);
  // wireguard-go looks for its way again when a route is announced, and takes the old one back from a packet that is
  // still under way.
  await delay(100);
  await client.output(["ip", "route", "add", FAR_SERVER, "via", SERVER_ELSEWHERE]);
}

/** Resolves after that many ms. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
