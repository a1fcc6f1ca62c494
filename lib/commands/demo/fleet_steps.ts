/** Steps of a demo of a fleet, in the order in which they are shown. */
import { ipv4ToNumber, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { patient } from "./patience.ts";
import type { Step } from "./present.ts";
import type { Outcome } from "./report.ts";
import { within } from "./steps.ts";
import { GATEWAY_NAMES, type GatewayName, WEB_ADDRESS } from "./fleet_site.ts";
import { type FleetStage, INNER_CLIENT } from "./fleet_stage.ts";

/** ms in which a step comes to its end, also on a machine that is slow or busy with other things. */
const PATIENCE = patient(60_000);
const POLL_INTERVAL = 50;
/** ms for which is pinged while something happens, that it happens in, and for one answer. */
const PING_SPAN = patient(5_000);
const PING_LEAD = 1_000;
const PING_TIMEOUT = patient(100);
const DOWNLOAD_PORT = 8080;
/** Bytes that show that a download goes on: more than what was under way. */
const MORE = 512 * 1024;

/** All but the end, which comes whatever becomes of these. */
export const FLEET_STEPS: readonly Step<FleetStage>[] = [
  { name: "NATS on three hosts", isRequired: true, run: startNats },
  { name: "peers go to the store", isRequired: true, run: importPeers },
  { name: "three gateways start", isRequired: true, run: startGateways },
  { name: "client connects", isRequired: true, run: connect },
  { name: "download begins", isRequired: true, run: beginDownload },
  { name: "holder killed (kill -9)", isRequired: true, run: killHolder },
  { name: "download goes on", run: continueDownload },
  { name: "killed gateway returns", isRequired: true, run: returnKilled },
  { name: "holder drained", run: drainHolder },
  { name: "download ends", run: endDownload },
];

async function startNats(stage: FleetStage): Promise<Outcome> {
  const started = GATEWAY_NAMES.map(async (name) => {
    const version = stage.logged(`nats-${name}`, /Version: +(\S+)/);
    const ready = stage.logged(`nats-${name}`, /Server is ready/);
    stage.startNats(name);
    await within(PATIENCE, ready, `nats-${name} is not ready`);
    return (await version)[1]!;
  });
  const [version] = await Promise.all(started);
  return { text: `3 nodes of version ${version}` };
}

/** As long as the nodes have no leader, they refuse. */
async function importPeers(stage: FleetStage): Promise<Outcome> {
  for (const deadline = performance.now() + PATIENCE;;) {
    try {
      const text = await stage.fleet("gateway-1", "import");
      return { text: /(Moved .*?) from/.exec(text)?.[1] ?? text.trim() };
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}

async function startGateways(stage: FleetStage): Promise<Outcome> {
  await Promise.all(GATEWAY_NAMES.map(async (name) => {
    const listens = stage.logged(name, /listening on UDP port/);
    stage.start(name);
    await within(PATIENCE, listens, `${name} does not listen`);
  }));
  return { text: `${await holderBut(stage, null)} has 203.0.113.5` };
}

async function connect(stage: FleetStage): Promise<Outcome> {
  const connected = stage.logged("client", /connected to/);
  stage.start("client");
  await within(PATIENCE, connected, "the client is not connected");
  return { text: `as ${INNER_CLIENT}, by 203.0.113.5` };
}

async function beginDownload(stage: FleetStage): Promise<Outcome> {
  const site = { host: WEB_ADDRESS, port: DOWNLOAD_PORT };
  const served = { address: WEB_ADDRESS, port: DOWNLOAD_PORT };
  await stage.agent("internet").call("pour", served, { timeout: PATIENCE });
  await stage.agent("visitor").call("beginFetch", site, { timeout: PATIENCE });
  return await continueDownload(stage);
}

async function continueDownload(stage: FleetStage): Promise<Outcome> {
  const fetched = () => stage.agent("visitor").call("fetched", undefined, { timeout: PATIENCE });
  const before = await fetched();
  await until(async () => await fetched() >= before + MORE || null, "the download stands still");
  return { text: `from ${WEB_ADDRESS}, by the NAT` };
}

async function killHolder(stage: FleetStage): Promise<Outcome> {
  const killed = await holderBut(stage, null);
  return await handOver(stage, killed, () => stage.crash(killed));
}

/** What a crash leaves on the host, the next start takes back. */
async function returnKilled(stage: FleetStage): Promise<Outcome> {
  const killed = GATEWAY_NAMES.find((name) => !stage.runs(name))!;
  const listens = stage.logged(killed, /listening on UDP port/);
  stage.start(killed);
  await within(PATIENCE, listens, `${killed} does not listen`);
  return { text: `${killed} is back, as a spare` };
}

async function drainHolder(stage: FleetStage): Promise<Outcome> {
  const drained = await holderBut(stage, null);
  const number = await until(async () => {
    const status = await stage.fleet(drained, "status");
    return /gateway (\d+) .*, has the virtual address/.exec(status)?.[1] ?? null;
  }, "vpn fleet status does not say who has the virtual address");
  return await handOver(stage, drained, () => stage.fleet(drained, "drain", number));
}

/** Pings the internet while a gateway is to lose the virtual address to another. */
async function handOver(
  stage: FleetStage,
  from: GatewayName,
  happen: () => Promise<unknown>,
): Promise<Outcome> {
  const address = ipv4ToNumber(parseIp(WEB_ADDRESS));
  const span = { address, duration: PING_SPAN, timeout: PING_TIMEOUT };
  const pinged = stage.agent("pinger").call("pingFor", span, { timeout: PATIENCE });
  await new Promise((resolve) => setTimeout(resolve, PING_LEAD));
  await happen();
  const holder = await holderBut(stage, from);
  return { text: `${holder} goes on, ping gap`, time: await pinged };
}

async function endDownload(stage: FleetStage): Promise<Outcome> {
  const [server, client] = [stage.agent("internet"), stage.agent("visitor")];
  await server.call("stopPouring", undefined, { timeout: PATIENCE });
  const received = await client.call("fetchedAll", undefined, { timeout: PATIENCE });
  const sent = await server.call("poured", undefined, { timeout: PATIENCE });
  if (received.bytes !== sent.bytes) {
    throw new Error(`received ${received.bytes} bytes of ${sent.bytes}`);
  }
  if (received.sha256 !== sent.sha256) {
    throw new Error(`SHA-256 is ${received.sha256} instead of ${sent.sha256}`);
  }
  return { text: `${(sent.bytes / 1e6).toFixed(1)} MB, SHA-256 is the same` };
}

/** Waits until one gateway alone has the virtual address, which is another than this one. */
function holderBut(stage: FleetStage, other: GatewayName | null): Promise<GatewayName> {
  return until(() => {
    const [holder, ...more] = stage.site.holders;
    return Promise.resolve(more.length > 0 || holder === other ? null : holder ?? null);
  }, "no gateway has the virtual address");
}

/** Waits until there is a result, not null. @throws {Error} with `problem` where that takes too long */
async function until<Result>(
  attempt: () => Promise<Result | null>,
  problem: string,
): Promise<Result> {
  for (const deadline = performance.now() + PATIENCE;;) {
    const result = await attempt();
    if (result !== null) return result;
    if (performance.now() > deadline) throw new Error(`${problem} within ${PATIENCE / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
  }
}
