/**
 * Attacks on a fleet: whatever happens to its hosts, links and store, at random by a seed, never do two gateways have
 * the virtual address for long, and clients are served again when all is well.
 */
import { eventually } from "../support/time/patience.ts";
import type { BackgroundProcess, Topology } from "../support/net.ts";
import { environment } from "../support/permissions.ts";
import { Random } from "../support/random.ts";
import { newIdentity } from "../net/support/config.ts";
import {
  FleetSite,
  GATEWAYS,
  hears,
  INSIDE,
  knowsClients,
  SERVER,
  VIRTUAL,
} from "../net/support/fleet_site.ts";
import { vpnCommand } from "../net/support/programs/vpn.ts";
import { WIREGUARD_GO_PROGRAMS } from "../net/support/programs/wireguard_go.ts";
import { delay } from "../net/support/wire.ts";
import type { Attack, Outcome } from "./attack.ts";
import { Connections } from "./connections.ts";

const DURATION_MS = 600_000;
const PING_INTERVAL_MS = 50;
/** ms for which two gateways may have the address: one that is cut off gives it up within this. */
const LONGEST_OVERLAP_MS = 2_000;
const LOOK_INTERVAL_MS = 50;
const PEERS = 1_000;
/** How often each gateway is restarted. */
const ROUNDS = 3;
const REOWNED_WITHIN_MS = 5_000;
/** The kernel takes an address off within two seconds after its time. */
const FENCED_WITHIN_MS = 7_500;

/** Looks who has the address, again and again. */
class Watch {
  longestOverlap = 0;
  readonly #timer: ReturnType<typeof setInterval>;
  #since: number | null = null;

  constructor(site: FleetSite) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (site.holders().length < 2) this.#since = null;
      else {
        this.#since ??= now;
        this.longestOverlap = Math.max(this.longestOverlap, now - this.#since);
      }
    }, LOOK_INTERVAL_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

async function faults(topology: Topology, scale: number): Promise<Outcome> {
  const seed = Number(environment("VPN_SEED") ?? 1);
  const random = new Random(seed);
  await using site = await FleetSite.lay(topology, () => ({}));
  const running = await site.startAll();
  await site.stockClient(running, {
    namespace: site.elsewhere,
    network: "10.66.77.0/24",
    route: `${INSIDE}/32`,
    more: "PersistentKeepalive = 5\n",
  });
  using watch = new Watch(site);
  const down = new Set<number>();
  const dead = new Set<number>();
  let isStoreDown = false;
  let incidents = 0;
  let longestWait = 0;

  const setLink = async (number: number, isUp: boolean) => {
    await site.hub.output(["ip", "link", "set", `to-${number}`, isUp ? "up" : "down"]);
    if (isUp) down.delete(number);
    else down.add(number);
  };
  const start = async (number: number) => {
    running.set(number, await site.start(number));
    dead.delete(number);
  };
  const setStore = async (isUp: boolean) => {
    if (isUp) site.nats.start(0);
    else await site.nats.stop(0);
    isStoreDown = !isUp;
  };
  const happen = async () => {
    incidents++;
    const number = random.pick(GATEWAYS);
    await random.pick<() => Promise<unknown>>([
      () => setLink(number, down.has(number)),
      async () => {
        if (dead.has(number)) return await start(number);
        running.get(number)!.signal("SIGKILL");
        dead.add(number);
      },
      () => setStore(isStoreDown),
      async () => {
        if (isStoreDown || dead.has(number) || down.size > 0) return;
        // Which of them has this number in the fleet is no matter.
        await site.fleet(number, random.pick(["drain", "rebalance"]), `${number - 1}`)
          .catch(() => {});
      },
    ])();
  };
  /** Repairs all; ms until one gateway has the address and the client is answered. */
  const restore = async (): Promise<number> => {
    if (isStoreDown) await setStore(true);
    for (const number of [...down]) await setLink(number, true);
    for (const number of [...dead]) await start(number);
    const restoredAt = performance.now();
    await eventually(() => site.holders().length === 1 || null);
    await eventually(async () => {
      const { code } = await site.elsewhere.run(["ping", "-n", "-q", "-c1", "-W1", INSIDE]);
      return code === 0 || null;
    });
    return performance.now() - restoredAt;
  };

  const endsAt = performance.now() + DURATION_MS * scale;
  while (performance.now() < endsAt) {
    for (let i = random.between(2, 8); i > 0; i--) {
      await happen();
      await delay(random.float() * random.pick([50, 700, 3_000]));
    }
    longestWait = Math.max(longestWait, await restore());
  }
  const holder: BackgroundProcess = running.get(site.holders()[0]!)!;
  await hears(holder, GATEWAYS.length);
  const overlap = Math.round(watch.longestOverlap);
  return {
    held: overlap <= LONGEST_OVERLAP_MS,
    figure:
      `seed ${seed}: ${incidents} incidents, two had the address for ${overlap} ms at most, ` +
      `client served again within ${Math.round(longestWait)} ms when all was well`,
  };
}

/** Kills the gateway that many clients are at, and looks how soon each has a session with the next one. */
async function manyPeers(topology: Topology, scale: number): Promise<Outcome> {
  const count = Math.round(PEERS * scale);
  await using site = await FleetSite.lay(topology, () => ({ Address: "10.66.0.1/16" }));
  const identities = Array.from({ length: count }, () => newIdentity());
  const secrets = `${site.folder}/secrets`;
  Deno.writeTextFileSync(secrets, identities.map(({ privateKey }) => privateKey).join("\n"), {
    mode: 0o600,
  });
  const peers = identities.map(({ publicKey }, i) =>
    `[Peer]\nPublicKey = ${publicKey}\nAllowedIPs = 10.66.${1 + (i >> 8)}.${i & 255}/32\n`
  );
  Deno.writeTextFileSync(site.config(1), `\n${peers.join("\n")}`, { append: true });
  await site.fleet(1, "import");
  const running = await site.startAll();
  await eventually(() => site.holders().length === 1 || null);
  const killed = site.holders()[0]!;
  await hears(running.get(killed)!, GATEWAYS.length);
  await knowsClients(running.get(killed)!, count);
  await using clients = site.elsewhere.spawn([
    ...[Deno.execPath(), "run", "--quiet", "--allow-all"],
    new URL("many_clients.ts", import.meta.url).pathname,
    ...[secrets, site.identity.publicKey, VIRTUAL, "51820"],
  ]);
  let from = 0;
  /** When so many had a session, Unix ms; null for not yet. */
  const reached = (wanted: number) => {
    const lines = clients.stdout.slice(from).matchAll(/^(\d+) clients at (\d+)$/gm);
    const found = Array.from(lines).find(([, connected]) => Number(connected) >= wanted);
    return found === undefined ? null : Number(found[2]);
  };
  await eventually(() => reached(count));
  await delay(1_000);
  clients.signal("SIGUSR2");
  await clients.waitFor(/^0 clients/m);
  from = clients.stdout.length;
  const killedAt = Date.now();
  running.get(killed)!.signal("SIGKILL");
  const [first, half, last] = [
    await eventually(() => reached(1)),
    await eventually(() => reached(count / 2)),
    await eventually(() => reached(count)),
  ].map((at) => at - killedAt);
  return {
    held: last! < REOWNED_WITHIN_MS,
    figure:
      `${count} peers: the first ${first} ms after the kill, half of them after ${half} ms, ` +
      `the last after ${last} ms`,
  };
}

/** Three gateways, and a stock client of theirs that has its way to the internet by their NAT. */
async function startWithNat(site: FleetSite): Promise<Map<number, BackgroundProcess>> {
  for (const gateway of site.gateways) {
    await gateway.output(["ip", "route", "add", "default", "via", "203.0.113.254"]);
  }
  const running = await site.startAll();
  await site.stockClient(running, {
    namespace: site.elsewhere,
    network: `${SERVER}/32`,
    route: `${SERVER}/32`,
  });
  await hears(running.get(site.holders()[0]!)!, GATEWAYS.length);
  return running;
}

/** Restarts each gateway in turn, the one that has the address first, as soon as the one before it is up again. */
async function rolling(topology: Topology, scale: number): Promise<Outcome> {
  await using site = await FleetSite.lay(topology, () => ({}));
  const running = await startWithNat(site);
  await using connections = await Connections.open(site);
  let restarts = 0;
  let handOvers = 0;
  const restartEach = async (numbers: readonly number[]) => {
    for (const left = new Set(numbers); left.size > 0;) {
      const [holder] = site.holders();
      const number = holder !== undefined && left.has(holder) ? holder : [...left][0]!;
      left.delete(number);
      await running.get(number)!.stop();
      running.set(number, await site.start(number));
      restarts++;
      if (number === holder) handOvers++;
    }
    await connections.goOn();
  };
  const rounds = Math.ceil(ROUNDS * scale);
  for (let round = 0; round < rounds && !connections.areLost; round++) await restartEach(GATEWAYS);
  // Where there are but two, the one that is just up has to go on with all.
  await running.get(GATEWAYS[0]!)!.stop();
  for (let round = 0; round < rounds && !connections.areLost; round++) {
    await restartEach(GATEWAYS.slice(1));
  }
  const { held, figure } = await connections.end();
  return {
    held,
    figure: `${restarts} restarts, ${handOvers} of the one that had the address: ${figure}`,
  };
}

/** Stops the store under traffic; one gateway starts again meanwhile, by what it has kept. */
async function withoutStore(topology: Topology, scale: number): Promise<Outcome> {
  const count = Math.round(DURATION_MS * scale / PING_INTERVAL_MS);
  await using site = await FleetSite.lay(topology, () => ({}));
  const running = await startWithNat(site);
  await using connections = await Connections.open(site);
  const other = GATEWAYS.find((number) => number !== site.holders()[0])!;
  const add = (name: string) =>
    site.gateways[other - 1]!.run(
      vpnCommand("peer", "add", name, "--out", "-", "--config", site.config(other)),
    );
  await site.nats.stop(0);
  const refused = await add("bob");
  await using pings = site.elsewhere.spawn(
    ["ping", "-n", "-q", "-i", `${PING_INTERVAL_MS / 1000}`, "-c", `${count}`, "-W", "5", SERVER],
  );
  await delay(count * PING_INTERVAL_MS / 2);
  await running.get(other)!.stop();
  running.set(other, await site.start(other));
  await pings.status;
  const [, received] = /, (\d+) received/.exec(pings.stdout) ?? [];
  site.nats.start(0);
  // The gateways reach it again by and by.
  await eventually(async () => (await add("bob")).code === 0 || null);
  await knowsClients(running.get(site.holders()[0]!)!, 2);
  const { held, figure } = await connections.end();
  return {
    held: held && Number(received) === count && refused.code !== 0,
    figure: `${received} of ${count} pings answered, ${figure}`,
  };
}

/** Freezes the gateway that has the address, as a virtual machine is paused, and wakes it. */
async function freeze(topology: Topology): Promise<Outcome> {
  await using site = await FleetSite.lay(topology, () => ({ Egress: "off" }));
  const running = await site.startAll();
  await eventually(() => site.holders().length === 1 || null);
  const frozen = site.holders()[0]!;
  await hears(running.get(frozen)!, GATEWAYS.length);
  const process = running.get(frozen)!;
  process.signal("SIGSTOP");
  const from = performance.now();
  const after = () => Math.round(performance.now() - from);
  await eventually(() => site.holders().length === 2 || null);
  const taken = after();
  await eventually(() => !site.holders().includes(frozen) || null);
  const fenced = after();
  process.signal("SIGCONT");
  await hears(process, GATEWAYS.length);
  await eventually(() => site.holders().length === 1 || null);
  return {
    held: !site.holders().includes(frozen) && fenced < FENCED_WITHIN_MS,
    figure: `another gateway has the address after ${taken} ms, the frozen host no more after ` +
      `${fenced} ms, and does not take it when it goes on`,
  };
}

export const FLEET_ATTACKS: readonly Attack[] = [{
  name: "fleet-frozen",
  title: "freezes the gateway that has the virtual address: its host does not keep it",
  attacker: "host",
  programs: ["nats-server", "ip"],
  run: freeze,
}, {
  name: "fleet-peers",
  title:
    "kills the gateway that 1,000 stock-like clients are at: all have a session with the next one within 5 s",
  attacker: "host",
  programs: ["nats-server", "ip"],
  run: manyPeers,
}, {
  name: "fleet-rolling",
  title:
    "restarts all gateways of a fleet one after the other: no TCP connection through the NAT is lost",
  attacker: "host",
  programs: ["nats-server", "ip", ...WIREGUARD_GO_PROGRAMS],
  run: rolling,
}, {
  name: "fleet-store",
  title: "stops the store of a fleet for ten minutes under traffic: nothing is lost",
  attacker: "host",
  programs: ["nats-server", "ip", "ping", ...WIREGUARD_GO_PROGRAMS],
  timeLimitMs: DURATION_MS + 300_000,
  run: withoutStore,
}, {
  name: "fleet-faults",
  title:
    "kills gateways of a fleet, cuts links, stops the store, drains, at random (VPN_SEED) for ten minutes",
  attacker: "host",
  programs: ["nats-server", "ip", "ping", ...WIREGUARD_GO_PROGRAMS],
  timeLimitMs: DURATION_MS + 300_000,
  run: faults,
}];
