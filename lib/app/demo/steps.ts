/** Owns the steps of a demo, in the order in which they are shown. */
import { ipv4ToNumber, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { namespaceExists } from "../../../ffi/netns.ts";
import { INNER_ADDRESSES, SERVER_PORT } from "./identities.ts";
import type { DemoProcess } from "./processes.ts";
import { formatTime, type Outcome } from "./report.ts";
import { GREETING, type Visited } from "./services.ts";
import { type Stage, TUN_NAME } from "./stage.ts";
import type { Host, HostName } from "./topology.ts";

/** In ms. A process is given time to start on a slow machine; the client itself gives up after 2.5 s. */
const START_TIMEOUT = 10_000;
const POLL_INTERVAL = 10;
const PING_TIMEOUT = 1_000;
const SERVE_TIMEOUT = 5_000;
const VISIT_TIMEOUT = 5_000;
const DOWNLOAD_TIMEOUT = 15_000;

const PING_COUNT = 5;
const DOWNLOAD_SIZE = 64 * 1024 * 1024;
/** Nobody else listens in the namespaces. */
const PAGE_PORT = 8080;
const DOWNLOAD_PORT = 8081;

export interface Step {
  readonly name: string;
  /** Without it the later ones make no sense. */
  readonly isRequired?: boolean;
  readonly run: (stage: Stage) => Promise<Outcome>;
}

/** All but the end, which comes whatever becomes of these. */
export const STEPS: readonly Step[] = [
  { name: "gateway starts", isRequired: true, run: startGateway },
  {
    name: "client-1 connects",
    isRequired: true,
    run: (stage) => connect(stage, "client-1"),
  },
  {
    name: "client-2 connects",
    isRequired: true,
    run: (stage) => connect(stage, "client-2"),
  },
  { name: "ping client-1 to gateway", run: (stage) => ping(stage, "client-1", "gateway") },
  { name: "ping gateway to client-1", run: (stage) => ping(stage, "gateway", "client-1") },
  { name: "page from gateway", run: (stage) => page(stage, "client-1", "gateway") },
  { name: "download of 64 MiB", run: (stage) => download(stage, "client-1", "gateway") },
  { name: "ping client-2 to client-1", run: (stage) => ping(stage, "client-2", "client-1") },
  { name: "page from client-1", run: (stage) => page(stage, "client-2", "client-1") },
];

/** Ends the processes as a user would, looks for traces of them, and removes the rest. */
export const LAST_STEP: Step = { name: "clean end", run: end };

async function startGateway(stage: Stage): Promise<Outcome> {
  await tunnelTo("client-1", stage.topology.host("gateway"), stage.start("gateway"));
  return { text: `listens on UDP port ${SERVER_PORT}` };
}

async function connect(stage: Stage, name: HostName): Promise<Outcome> {
  await tunnelTo("gateway", stage.topology.host(name), stage.start(name));
  return { text: `connected as ${INNER_ADDRESSES[name]}` };
}

async function ping(stage: Stage, from: HostName, to: HostName): Promise<Outcome> {
  const address = ipv4ToNumber(parseIp(INNER_ADDRESSES[to]));
  const options = { address, count: PING_COUNT, timeout: PING_TIMEOUT };
  const timeout = PING_COUNT * PING_TIMEOUT + PING_TIMEOUT;
  const times = await stage.agent(from).call("ping", options, { timeout });
  const answered = `${times.length} of ${PING_COUNT} answered`;
  if (times.length < PING_COUNT) throw new Error(answered);
  return { text: `${answered}, best ${formatTime(Math.min(...times))}` };
}

async function page(stage: Stage, from: HostName, to: HostName): Promise<Outcome> {
  const site = { port: PAGE_PORT, fileSize: 0 };
  await stage.agent(to).call("serve", site, { timeout: SERVE_TIMEOUT });
  const visit = { host: INNER_ADDRESSES[to], port: PAGE_PORT, path: "/" };
  const visited = await stage.agent(from).call("visit", visit, { timeout: VISIT_TIMEOUT });
  requireOk(visited);
  // The host has seen the visitor's address inside the tunnel, so this came through it.
  const expected = GREETING + INNER_ADDRESSES[from];
  if (visited.text !== expected) {
    throw new Error(`the page says "${visited.text}" instead of "${expected}"`);
  }
  return { text: `says "${visited.text}"`, time: visited.time };
}

async function download(stage: Stage, from: HostName, to: HostName): Promise<Outcome> {
  const site = { port: DOWNLOAD_PORT, fileSize: DOWNLOAD_SIZE };
  const file = await stage.agent(to).call("serve", site, { timeout: SERVE_TIMEOUT });
  const visit = { host: INNER_ADDRESSES[to], port: DOWNLOAD_PORT, path: "/file" };
  const visited = await stage.agent(from).call("visit", visit, { timeout: DOWNLOAD_TIMEOUT });
  requireOk(visited);
  if (visited.bytes !== DOWNLOAD_SIZE) {
    throw new Error(`${visited.bytes} bytes came instead of ${DOWNLOAD_SIZE}`);
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

async function end(stage: Stage): Promise<Outcome> {
  const problems = await stage.stopProcesses();
  const { hosts } = stage.topology;
  for (const host of hosts) {
    problems.push(...host.changes().map((change) => `${host.name}: ${change}`));
  }
  await stage[Symbol.asyncDispose]();
  for (const { namespace } of hosts) {
    if (namespaceExists(namespace)) problems.push(`left behind: namespace ${namespace}`);
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
  return { text: "exit code 0, nothing is left" };
}

/**
 * Waits until packets from `host` to another go into the tunnel, which is when the process has done all of its work:
 * routes come last. The log would say so too, but not at every level.
 */
async function tunnelTo(other: HostName, host: Host, tunnel: DemoProcess): Promise<void> {
  const destination = parseIp(INNER_ADDRESSES[other]);
  const deadline = performance.now() + START_TIMEOUT;
  for (;;) {
    // First, since an interrupted demo ends the process before it closes the connection that is asked next.
    if (tunnel.exitCode !== null) throw new Error(`ended with exit code ${tunnel.exitCode}`);
    if (routesByTunnel(host, destination)) return;
    if (performance.now() > deadline) {
      throw new Error(`no tunnel within ${START_TIMEOUT / 1000} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
  }
}

function routesByTunnel({ netlink }: Host, destination: Uint8Array): boolean {
  const tun = netlink.links.find(TUN_NAME);
  if (tun === null) return false;
  try {
    return netlink.routes.lookup(destination).link === tun.index;
  } catch (error) {
    // The gateway has no default route.
    if (error instanceof NetlinkError && error.code === "ENETUNREACH") return false;
    throw error;
  }
}

function requireOk({ status }: Visited): void {
  if (status !== 200) throw new Error(`the answer has status ${status} instead of 200`);
}
