/** Families: what IPv6 costs beside IPv4, inside the tunnel, outside of it, and on the way to the internet. */
import type { TestNamespace } from "../../support/net.ts";
import { configText, type Section } from "../../net/support/config.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  SERVER_ENDPOINT,
  SERVER_ENDPOINT6,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
  type Wire,
} from "../../net/support/wire.ts";
import { type Tunnel, tunnelOf } from "../contenders/contender.ts";
import { type Program, startVpn } from "../contenders/vpn.ts";
import { IDENTITIES } from "../contenders/wireguard_config.ts";
import { INTERNET, INTERNET_NETWORK, routeToInternet, UPLINK } from "./nat.ts";
import { totalTime } from "./process_stats.ts";
import { measureTcp, startIperfServer } from "./tcp.ts";

export type Family = "IPv4" | "IPv6";

const MB = 1e6;
const INSIDE6 = { server: "fd00:66:77::1", client: "fd00:66:77::2", network: "fd00:66:77::/64" };
/** An address behind the server, and those of both ends of the way there. */
const INTERNET6 = "2001:db8:9::9";
const [EXTERNAL6, ROUTER6] = ["2001:db8:8::1", "2001:db8:8::9"];

/** One stream each way. */
export interface FamilyCost {
  /** Gbit/s, both directions added. */
  readonly rate: number;
  /** ms of processor time for a megabyte of payload. */
  readonly cpu: number;
}

export interface FamiliesOptions {
  readonly program: Program;
  /** Of each measurement. */
  readonly seconds: number;
}

/** What both ends of a tunnel take, by what is inside. */
export async function measureInside(
  wire: Wire,
  outside: Family,
  { program, seconds }: FamiliesOptions,
): Promise<Record<Family, FamilyCost>> {
  await using tunnel = await startTunnel(wire, outside, program);
  return await measureBoth(wire.client, {
    listener: wire.server,
    addresses: { IPv4: SERVER_INSIDE, IPv6: INSIDE6.server },
    pids: [tunnel.client.pid, tunnel.server.pid],
    seconds,
  });
}

/** What a gateway takes for what its NAT leads to the internet and back, by the family of that. */
export async function measureInternet(
  wire: Wire,
  internet: TestNamespace,
  { program, seconds }: FamiliesOptions,
): Promise<Record<Family, FamilyCost>> {
  await using _route = await routeToInternet(wire);
  await using _route6 = await routeToInternet6(wire, internet);
  await using tunnel = await startTunnel(wire, "IPv4", program);
  return await measureBoth(wire.client, {
    listener: internet,
    addresses: { IPv4: INTERNET, IPv6: INTERNET6 },
    pids: [tunnel.server.pid],
    seconds,
  });
}

async function startTunnel(wire: Wire, outside: Family, program: Program): Promise<Tunnel> {
  const config = (own: Section, peer: Section) => ({ program, config: configText(own, peer) });
  const server = await startVpn(
    "server",
    wire.server,
    config({
      PrivateKey: IDENTITIES.server.privateKey,
      Address: `${SERVER_INSIDE}/24, ${INSIDE6.server}/64`,
      ListenPort: SERVER_PORT,
    }, {
      PublicKey: IDENTITIES.client.publicKey,
      AllowedIPs: `${CLIENT_INSIDE}/32, ${INSIDE6.client}/128`,
    }),
  );
  const client = await startVpn(
    "client",
    wire.client,
    config({
      PrivateKey: IDENTITIES.client.privateKey,
      Address: `${CLIENT_INSIDE}/24, ${INSIDE6.client}/64`,
    }, {
      PublicKey: IDENTITIES.server.publicKey,
      Endpoint: outside === "IPv4" ? SERVER_ENDPOINT : SERVER_ENDPOINT6,
      AllowedIPs: [SUBNET, INSIDE6.network, INTERNET_NETWORK, `${INTERNET6}/128`].join(", "),
    }),
  );
  return tunnelOf(server, client);
}

/** Has the server reach the internet by IPv6, as `routeToInternet()` does by IPv4. Disposal undoes it. */
async function routeToInternet6(
  { server }: Wire,
  internet: TestNamespace,
): Promise<AsyncDisposable> {
  const changes = [
    [server, ["address", "add", `${EXTERNAL6}/64`, "dev", UPLINK, "nodad"]],
    [internet, ["address", "add", `${ROUTER6}/64`, "dev", CABLE, "nodad"]],
    [internet, ["address", "add", `${INTERNET6}/128`, "dev", "lo", "nodad"]],
    [server, ["route", "add", "default", "via", ROUTER6]],
  ] as const;
  await using undo = new AsyncDisposableStack();
  for (const [namespace, change] of changes) {
    await namespace.output(["ip", "-6", ...change]);
    const [object, , ...rest] = change;
    const what = rest.filter((word) => word !== "nodad");
    undo.defer(async () => void await namespace.output(["ip", "-6", object, "del", ...what]));
  }
  return undo.move();
}

async function measureBoth(
  client: TestNamespace,
  { listener, addresses, pids, seconds }: {
    readonly listener: TestNamespace;
    readonly addresses: Readonly<Record<Family, string>>;
    /** Whose processor time counts. */
    readonly pids: readonly number[];
    readonly seconds: number;
  },
): Promise<Record<Family, FamilyCost>> {
  const families = ["IPv4", "IPv6"] as const;
  await using listeners = new AsyncDisposableStack();
  for (const family of families) {
    const address = addresses[family];
    listeners.use(await startIperfServer(listener, address));
    await measureTcp(client, { address, seconds: 1 });
  }
  const totals = { IPv4: { time: 0, bytes: 0, rate: 0 }, IPv6: { time: 0, bytes: 0, rate: 0 } };
  // The families in turn, so that they share what else runs on the machine.
  for (const down of [false, true]) {
    for (const family of families) {
      const before = totalTime(pids);
      const options = { address: addresses[family], seconds, down };
      const { rate, bytes } = await measureTcp(client, options);
      const total = totals[family];
      total.time += totalTime(pids) - before;
      total.bytes += bytes;
      total.rate += rate;
    }
  }
  const costOf = (family: Family): FamilyCost => {
    const { rate, time, bytes } = totals[family];
    return { rate, cpu: time * 1e3 / (bytes / MB) };
  };
  return { IPv4: costOf("IPv4"), IPv6: costOf("IPv6") };
}
