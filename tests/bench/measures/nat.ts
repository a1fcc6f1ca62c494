/** Way to the internet through a gateway: a TCP stream of a client that the server translates the address of. */
import type { TestNamespace, Topology } from "../../support/net.ts";
import { CABLE, carrierOn, type Wire } from "../../net/support/wire.ts";
import type { Contender } from "../contenders/contender.ts";
import { measureTcp, startIperfServer } from "./tcp.ts";

/** A network that only the server has a way to, from the documentation networks of RFC 5737. */
export const INTERNET_NETWORK = "203.0.113.0/24";
/** An address there. */
export const INTERNET = "203.0.113.9";
/** The server's interface there. */
export const UPLINK = "uplink";
const EXTERNAL = "198.51.100.1";
const ROUTER = "198.51.100.9";
const TABLE = "vpn_bench";
const MASQUERADE = `table ip ${TABLE} { chain post { type nat hook postrouting priority 100
  oifname "${UPLINK}" masquerade
}
}
`;

/** Makes an internet behind the server, which knows the server's address outside and no way to any other. */
export async function layInternet(topology: Topology, { server }: Wire): Promise<TestNamespace> {
  const internet = topology.namespace("internet");
  topology.cable(
    { namespace: internet, name: CABLE, address: `${ROUTER}/24` },
    { namespace: server, name: UPLINK, address: `${EXTERNAL}/24` },
  );
  await Promise.all([carrierOn(internet), carrierOn(server, UPLINK)]);
  await internet.output(["ip", "address", "add", `${INTERNET}/32`, "dev", "lo"]);
  return internet;
}

/** Has the server reach the internet, which its clients are to reach through it. Disposal undoes it. */
export async function routeToInternet({ server }: Wire): Promise<AsyncDisposable> {
  const route = ["default", "via", ROUTER];
  await server.output(["ip", "route", "add", ...route]);
  return {
    async [Symbol.asyncDispose]() {
      await server.output(["ip", "route", "del", ...route]);
    },
  };
}

export interface NatOptions {
  readonly contender: Contender;
  readonly internet: TestNamespace;
  readonly seconds: number;
}

/** Gbit/s to and from the internet, by the contender's own translation, or by the kernel's masquerade. */
export async function measureNat(
  wire: Wire,
  { contender, internet, seconds }: NatOptions,
): Promise<{ readonly up: number; readonly down: number }> {
  const { client, server } = wire;
  await using _route = await routeToInternet(wire);
  await using cleanup = new AsyncDisposableStack();
  const during = async (on: readonly string[], off: readonly string[], stdin?: string) => {
    await server.output(on, stdin === undefined ? {} : { stdin });
    cleanup.defer(async () => void await server.output(off));
  };
  if (contender.translates !== true) {
    const forward = (value: number) => ["sysctl", "-qw", `net.ipv4.ip_forward=${value}`];
    await during(forward(1), forward(0));
    await during(["nft", "-f", "-"], ["nft", "delete", "table", "ip", TABLE], MASQUERADE);
  }
  await using _tunnel = await contender.start({ ...wire, behind: INTERNET_NETWORK });
  await using _iperf = await startIperfServer(internet, INTERNET);
  const address = INTERNET;
  await measureTcp(client, { address, seconds: 1 });
  const up = await measureTcp(client, { address, seconds });
  const down = await measureTcp(client, { address, seconds, down: true });
  return { up: up.rate, down: down.rate };
}
