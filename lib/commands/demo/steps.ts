/** Steps of a demo, in the order in which they are shown. */
import { ipv4ToNumber, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { cleanUp } from "../cleanup.ts";
import { restrictClient } from "./contractor.ts";
import { TUN_NAME } from "./demo_stage.ts";
import { INNER_ADDRESSES, INNER_ADDRESSES6, SERVER_PORT } from "./identities.ts";
import { summary } from "./link_watch.ts";
import type { DemoProcess } from "./processes.ts";
import { patient } from "./patience.ts";
import type { Step } from "./present.ts";
import { formatTime, type Outcome } from "./report.ts";
import { WHO_AM_I } from "./resolver.ts";
import { GREETING, type Visit, type Visited } from "./services.ts";
import type { Stage } from "./stage.ts";
import {
  GATEWAY_ADDRESS,
  type Host,
  type HostName,
  INTERNET_ADDRESS,
  INTERNET_ADDRESS6,
  type MemberName,
  UPLINK_ADDRESS6,
} from "./topology.ts";

/**
 * ms in which a step comes to its end, also on a machine that is slow or busy with other things: a demo that passes
 * takes what it takes, and only one that fails waits so long.
 */
const PATIENCE = patient(60_000);
const POLL_INTERVAL = 10;
const PING_TIMEOUT = patient(5_000);
/** An idle time in which a client finds out that the gateway answers its heartbeats. */
const HEARTBEAT_TIME = 2_500;

const PING_COUNT = 5;
const DOWNLOAD_SIZE = 64 * 1024 * 1024;
/** Nobody else listens in the namespaces. */
const PAGE_PORT = 80;
const PAGE_PORT6 = 8081;
const DOWNLOAD_PORT = 8080;
/** The DNS proxy's in `/proc/net/udp`: the local port in hexadecimal, and no remote one. */
const DNS_SOCKET = /:0035 00000000:0000 /;

/** The hosts that somebody calls. */
type ServedHost = Exclude<HostName, "hotel">;

/** By which each host is called from inside the tunnel. */
const ADDRESSES: Readonly<Record<ServedHost, string>> = {
  ...INNER_ADDRESSES,
  internet: INTERNET_ADDRESS,
};

/** All but the end, which comes whatever becomes of these. */
export const STEPS: readonly Step<Stage>[] = [
  { name: "gateway starts", isRequired: true, run: startGateway },
  { name: "client-1 connects", isRequired: true, run: connectByIpv6 },
  {
    name: "client-2, UDP dropped",
    isRequired: true,
    run: connectWithoutUdp,
  },
  { name: "ping client-1 to gateway", run: (stage) => ping(stage, "client-1", "gateway") },
  { name: "ping gateway to client-1", run: (stage) => ping(stage, "gateway", "client-1") },
  { name: "ping client-1 to internet", run: (stage) => ping(stage, "client-1", "internet") },
  { name: "page from internet", run: (stage) => page(stage, "client-1", "internet") },
  { name: "page by IPv6", run: pageByIpv6 },
  { name: "DNS question to gateway", run: (stage) => resolve(stage, "client-1", "gateway") },
  { name: "DNS question to internet", run: (stage) => resolve(stage, "client-1", "internet") },
  { name: "download of 64 MiB", run: (stage) => download(stage, "client-1", "internet") },
  { name: "page from gateway", run: (stage) => page(stage, "client-1", "gateway") },
  { name: "ping client-2 to client-1", run: (stage) => ping(stage, "client-2", "client-1") },
  { name: "page from client-1", run: (stage) => page(stage, "client-2", "client-1") },
  { name: "client-2 as a contractor", run: restrictClient },
  { name: "no RST and no unreachable", run: lookAtLink },
  { name: "gateway killed", run: killGateway },
  { name: "gateway returns", run: returnGateway },
  { name: "client-2 killed, cleanup", run: killClient },
];

async function startGateway(stage: Stage): Promise<Outcome> {
  await stage.agent("internet").call("serveNames", INTERNET_ADDRESS, { timeout: PATIENCE });
  return await runGateway(stage);
}

async function runGateway(stage: Stage): Promise<Outcome> {
  const gateway = stage.site.host("gateway");
  // Its DNS proxy is what a gateway opens last.
  await until(() => answersDns(gateway), stage.start("gateway"));
  return { text: `listens on UDP port ${SERVER_PORT}` };
}

async function connect(stage: Stage, name: MemberName): Promise<Outcome> {
  const host = stage.site.host(name);
  const destination = parseIp(INNER_ADDRESSES.gateway);
  // A client gets its routes when it has its tunnel.
  await until(() => routesByTunnel(host, destination), stage.start(name));
  return { text: `connected as ${INNER_ADDRESSES[name]}` };
}

/** Where the kernel has IPv6, the client's network has nothing else: what it reaches by IPv4, it reaches inside. */
async function connectByIpv6(stage: Stage): Promise<Outcome> {
  const outcome = await connect(stage, "client-1");
  return stage.site.hasIpv6 ? { text: `${INNER_ADDRESSES["client-1"]}, over IPv6` } : outcome;
}

/** The hotel's router lets no UDP through: the client has to find that out, and to get through in another way. */
async function connectWithoutUdp(stage: Stage): Promise<Outcome> {
  const byFakeTcp = stage.logged("client-2", /connected to \S+ by fake TCP/);
  await connect(stage, "client-2");
  await within(PATIENCE, byFakeTcp, "client-2 does not report that it uses fake TCP");
  return { text: `${INNER_ADDRESSES["client-2"]}, by fake TCP` };
}

async function ping(stage: Stage, from: MemberName, to: ServedHost): Promise<Outcome> {
  const address = ipv4ToNumber(parseIp(ADDRESSES[to]));
  const options = { address, count: PING_COUNT, timeout: PING_TIMEOUT };
  const times = await stage.agent(from).call("ping", options, { timeout: PATIENCE });
  const answered = `${times.length} of ${PING_COUNT} answered`;
  if (times.length < PING_COUNT) throw new Error(answered);
  return { text: `${answered}, best ${formatTime(Math.min(...times))}` };
}

async function page(stage: Stage, from: MemberName, to: ServedHost): Promise<Outcome> {
  const site = { address: "0.0.0.0", port: PAGE_PORT, fileSize: 0 } as const;
  await stage.agent(to).call("serve", site, { timeout: PATIENCE });
  const visit = { host: ADDRESSES[to], port: PAGE_PORT, path: "/" };
  return await greeting(stage, from, visit, sourceSeenBy(to, from));
}

/** From the internet, or, where that has no IPv6, from the gateway. */
async function pageByIpv6(stage: Stage): Promise<Outcome> {
  const { hasIpv6, hasInternet6 } = stage.site;
  if (!hasIpv6) return { text: "this kernel has no IPv6" };
  const site = { address: "::", port: PAGE_PORT6, fileSize: 0 } as const;
  const to = hasInternet6 ? "internet" : "gateway";
  await stage.agent(to).call("serve", site, { timeout: PATIENCE });
  const host = hasInternet6 ? INTERNET_ADDRESS6 : INNER_ADDRESSES6.gateway;
  const visit = { host, port: PAGE_PORT6, path: "/" };
  const source = hasInternet6 ? UPLINK_ADDRESS6 : INNER_ADDRESSES6["client-1"];
  return await greeting(stage, "client-1", visit, source);
}

/** A page that says that its visitor comes from `source`. */
async function greeting(
  stage: Stage,
  from: MemberName,
  visit: Visit,
  source: string,
): Promise<Outcome> {
  const visited = await stage.agent(from).call("visit", visit, { timeout: PATIENCE });
  requireOk(visited);
  const expected = GREETING + source;
  if (visited.text !== expected) {
    throw new Error(`the page contains "${visited.text}" instead of "${expected}"`);
  }
  return { text: `says "${visited.text}"`, time: visited.time };
}

/** Asks the gateway's DNS proxy, which asks the internet's resolver, or the latter at once. */
async function resolve(
  stage: Stage,
  from: MemberName,
  server: "gateway" | "internet",
): Promise<Outcome> {
  const question = { name: WHO_AM_I, server: ADDRESSES[server] };
  const addresses = await stage.agent(from).call("resolve", question, { timeout: PATIENCE });
  // The resolver gives the asker's own address: the proxy's is the gateway's, the NAT's the same.
  const text = `${WHO_AM_I} is ${addresses.join(", ")}`;
  if (addresses.join() !== GATEWAY_ADDRESS) {
    throw new Error(`${text} instead of ${GATEWAY_ADDRESS}`);
  }
  return { text };
}

async function download(stage: Stage, from: MemberName, to: ServedHost): Promise<Outcome> {
  const site = { address: "0.0.0.0", port: DOWNLOAD_PORT, fileSize: DOWNLOAD_SIZE } as const;
  const file = await stage.agent(to).call("serve", site, { timeout: PATIENCE });
  const visit = { host: ADDRESSES[to], port: DOWNLOAD_PORT, path: "/file" };
  const visited = await stage.agent(from).call("visit", visit, { timeout: PATIENCE });
  requireOk(visited);
  if (visited.bytes !== DOWNLOAD_SIZE) {
    throw new Error(`received ${visited.bytes} bytes instead of ${DOWNLOAD_SIZE}`);
  }
  if (visited.sha256 !== file.sha256) {
    throw new Error(`SHA-256 is ${visited.sha256} instead of ${file.sha256}`);
  }
  return {
    text: "SHA-256 is the same",
    time: visited.time,
    rate: visited.bytes * 8 / (visited.time / 1000),
  };
}

/** Judges all that the gateway has sent to the internet so far, its own kernel's packets among them. */
function lookAtLink(stage: Stage): Promise<Outcome> {
  const { packets, offences } = stage.watch.look();
  if (packets === 0) throw new Error("the capture saw no packet at all");
  if (offences.length > 0) throw new Error(summary(offences));
  return Promise.resolve({ text: `all packets came from ${GATEWAY_ADDRESS}` });
}

/**
 * The client is told nothing: it has to notice by the silence of a gateway that used to answer its heartbeats. On a
 * busy machine none may have been answered yet: then the client notices because what it sends stays without an answer.
 */
async function killGateway(stage: Stage): Promise<Outcome> {
  await new Promise((resolve) => setTimeout(resolve, HEARTBEAT_TIME));
  const noticed = stage.logged("client-1", /no packets from/);
  await stage.crash("gateway");
  const start = performance.now();
  const unanswered = { address: ipv4ToNumber(parseIp(ADDRESSES.gateway)), count: 1, timeout: 0 };
  await stage.agent("client-1").call("ping", unanswered, { timeout: PATIENCE });
  await within(PATIENCE, noticed, "client-1 has not noticed");
  return { text: `client-1 noticed after ${formatTime(performance.now() - start)}` };
}

async function returnGateway(stage: Stage): Promise<Outcome> {
  const back = stage.logged("client-1", /reconnected/);
  await runGateway(stage);
  const start = performance.now();
  await within(PATIENCE, back, "client-1 has not reconnected");
  const time = formatTime(performance.now() - start);
  // A client that came back by fake TCP may be on its way to UDP again: once, a packet may be lost meanwhile.
  await ping(stage, "client-1", "gateway").catch(() => ping(stage, "client-1", "gateway"));
  return { text: `client-1 reconnected by itself after ${time}` };
}

/** What a crash leaves is taken back by what `vpn cleanup` does, here in the client's own namespace. */
async function killClient(stage: Stage): Promise<Outcome> {
  await stage.crash("client-2");
  const host = stage.site.host("client-2");
  const left = host.changes().length;
  if (left === 0) throw new Error("the crash left nothing behind, so nothing is proven");
  host.inside(() => cleanUp({ opensHost: true }));
  const changes = host.changes();
  if (changes.length > 0) throw new Error(changes.join("; "));
  return { text: `${left} changes left behind, then none` };
}

/** @throws {Error} with `problem` where that takes longer than `timeout` ms */
export async function within<Result>(
  timeout: number,
  done: Promise<Result>,
  problem: string,
): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${problem} within ${timeout / 1000} s`)), timeout);
  });
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The address that a host sees `from` come from: outside, everybody has the gateway's. */
function sourceSeenBy(host: ServedHost, from: MemberName): string {
  return host === "internet" ? GATEWAY_ADDRESS : INNER_ADDRESSES[from];
}

/**
 * Waits until a process has done the last of what it does at its start. The log would say so too, but not at every
 * level.
 */
async function until(isReady: () => boolean, tunnel: DemoProcess): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    // First, since an interrupted demo ends the process before it closes the connection that is asked next.
    if (tunnel.exitCode !== null) throw new Error(`ended with exit code ${tunnel.exitCode}`);
    if (isReady()) return;
    if (performance.now() > deadline) {
      throw new Error(`not ready within ${PATIENCE / 1000} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
  }
}

function answersDns(host: Host): boolean {
  return host.inside(() => DNS_SOCKET.test(Deno.readTextFileSync("/proc/thread-self/net/udp")));
}

function routesByTunnel({ netlink }: Host, destination: Uint8Array): boolean {
  const tun = netlink.links.find(TUN_NAME);
  if (tun === null) return false;
  try {
    return netlink.routes.lookup(destination).link === tun.index;
  } catch (error) {
    // There is no other route on a network of IPv6 alone.
    if (error instanceof NetlinkError) return false;
    throw error;
  }
}

function requireOk({ status }: Visited): void {
  if (status !== 200) throw new Error(`the answer has status ${status} instead of 200`);
}
