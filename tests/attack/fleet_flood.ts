/**
 * Floods from one gateway of a fleet to another: a client that sends all it can to a client at another gateway takes
 * neither the virtual address from the gateway that has it nor their packets from the other clients.
 */
import { FleetSite, GATEWAYS, hears, INSIDE } from "../net/support/fleet_site.ts";
import { statusOf } from "../net/support/programs/instance.ts";
import { WIREGUARD_GO_PROGRAMS } from "../net/support/programs/wireguard_go.ts";
import { delay } from "../net/support/wire.ts";
import type { BackgroundProcess, TestNamespace, Topology } from "../support/net.ts";
import { eventually } from "../support/time/patience.ts";
import type { Attack, Outcome } from "./attack.ts";

const FLOOD_SECONDS = 10;
const LOOK_INTERVAL_MS = 50;
const PINGS_PER_SECOND = 20;
/** ms without an answer. */
const LONGEST_GAP_MS = 1_000;
/** ms for which a gateway that is kept from running is, again and again, and runs. */
const STOPPED_MS = 40;
const RUNNING_MS = 10;
const PORT = 51820;
const LONG = ["-u", "-b", "2G", "-l", "1200"];
const SHORT = ["-u", "-b", "2G", "-l", "32"];

/** Counts how often another gateway has the address, and how often one counts as gone at another. */
class Watch implements AsyncDisposable {
  changes = 0;
  /** By the gateway at which they count as gone. */
  readonly losses = new Map(GATEWAYS.map((number) => [number, 0]));
  readonly #looking: Promise<unknown>;
  #isDone = false;

  constructor(site: FleetSite, running: ReadonlyMap<number, BackgroundProcess>) {
    this.#looking = Promise.all([
      this.#lookAtHolders(site),
      ...Array.from(running, ([number, gateway]) => this.#lookAtGateways(number, gateway)),
    ]);
  }

  async #lookAtHolders(site: FleetSite): Promise<void> {
    for (let before = site.holders(); !this.#isDone; await delay(LOOK_INTERVAL_MS)) {
      const now = site.holders();
      if (now.join() !== before.join()) this.changes++;
      before = now;
    }
  }

  async #lookAtGateways(number: number, gateway: BackgroundProcess): Promise<void> {
    for (let before = GATEWAYS.length; !this.#isDone; await delay(LOOK_INTERVAL_MS)) {
      const { gateways } = (await statusOf(gateway)).store!.virtualAddress!;
      const now = gateways.filter(({ isUp }) => isUp).length;
      if (now < before) this.losses.set(number, this.losses.get(number)! + before - now);
      before = now;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDone = true;
    await this.#looking;
  }
}

/** ms that passed at most between two answers, and how many came of all. */
function readPings(text: string): { longestGap: number; answered: number } {
  const times = Array.from(text.matchAll(/^\[(\d+\.\d+)\].*bytes from/gm), ([, at]) => Number(at));
  const gaps = times.slice(1).map((at, i) => Math.round(1000 * (at - times[i]!)));
  return { longestGap: Math.max(0, ...gaps), answered: times.length };
}

async function flood(topology: Topology, scale: number): Promise<Outcome> {
  const seconds = Math.max(5, Math.round(FLOOD_SECONDS * scale));
  await using site = await FleetSite.lay(topology, () => ({ Egress: "off" }));
  const running = await site.startAll();
  await eventually(() => site.holders().length === 1 || null);
  for (const gateway of running.values()) await hears(gateway, GATEWAYS.length);
  // One that is slow may lose the address: it is not the one that has it.
  const [to, third] = GATEWAYS.filter((number) => !site.holders().includes(number));
  const [from] = site.holders();
  const settle = async (place: number, by: number) => {
    const namespace = topology.namespace(`client-${place}`);
    topology.cable(
      { namespace: site.hub, name: `to-client-${place}` },
      { namespace, name: "eth0", address: `203.0.113.${20 + place}/24` },
    );
    await site.hub.output(["ip", "link", "set", `to-client-${place}`, "master", "lan"]);
    const network = "10.66.77.0/24";
    const more = "PersistentKeepalive = 5\n";
    const peer = await site.stockClient(running, {
      ...{ namespace, network, route: network, place, by, more },
    });
    await answers(namespace, INSIDE);
    return { namespace, peer, address: `10.66.77.${1 + place}` };
  };
  const flooder = await settle(1, from!);
  const target = await settle(2, to!);
  const honest = await settle(3, from!);
  const friend = await settle(4, to!);
  await answers(flooder.namespace, target.address);
  await answers(honest.namespace, friend.address);
  await using server = target.namespace.spawn(["iperf3", "-s", "--forceflush"]);
  await server.waitFor(/Server listening/);

  const figures: string[] = [];
  let isHeld = true;
  const send = async (namespace: TestNamespace, args: readonly string[]) => {
    const { stdout } = await namespace.run(
      ["iperf3", "-J", "-c", target.address, "-t", `${seconds}`, ...args],
      { timeoutMs: 60_000 },
    );
    const { end } = JSON.parse(stdout);
    const { bits_per_second: bits = 0, packets = 0 } = end.sum_received ?? end.sum ?? {};
    return `${Math.round(bits / 1e6)} Mbit/s` +
      (packets > 0 ? `, ${Math.round(packets / seconds)} packets/s` : "");
  };
  const measure = async (what: string, args: readonly string[]) => {
    const count = PINGS_PER_SECOND * seconds;
    await using watch = new Watch(site, running);
    const pinging = honest.namespace.run(
      ["ping", "-n", "-D", "-i", `${1 / PINGS_PER_SECOND}`, `-c${count}`, "-W1", friend.address],
      { timeoutMs: 60_000 },
    );
    const rate = await send(flooder.namespace, args);
    const { longestGap, answered } = readPings((await pinging).stdout);
    const losses = Array.from(watch.losses.values()).reduce((sum, each) => sum + each);
    isHeld &&= watch.changes === 0 && losses === 0 && longestGap <= LONGEST_GAP_MS;
    figures.push(
      `${what} (${rate}): ${watch.changes} changes of the holder, ${losses} gateways lost, ` +
        `${answered} of ${count} pings of others answered, longest gap ${longestGap} ms`,
    );
  };
  /** The same to a gateway that has not the processor for it: what comes waits in full buffers all the time. */
  const overwhelm = async (what: string, args: readonly string[]) => {
    const slow = running.get(to!)!;
    await using watch = new Watch(site, running);
    let isSending = true;
    const sending = send(site.gateways[from! - 1]!, args).finally(() => isSending = false);
    while (isSending) {
      slow.signal("SIGSTOP");
      await delay(STOPPED_MS);
      slow.signal("SIGCONT");
      await delay(RUNNING_MS);
    }
    const rate = await sending;
    const losses = watch.losses.get(to!)!;
    isHeld &&= watch.changes === 0 && losses === 0;
    figures.push(
      `${what} (${rate}) to a gateway that runs ${RUNNING_MS} ms of ${RUNNING_MS + STOPPED_MS}: ` +
        `${watch.changes} changes of the holder, ${losses} others lost there`,
    );
  };
  await measure("UDP", LONG);
  await measure("TCP", []);
  await overwhelm("short UDP of a gateway's host", SHORT);
  // Its session is with its own gateway, and what it sends goes to another.
  const wrong = `203.0.113.${10 + third!}:${PORT}`;
  await flooder.peer.set("peer", site.identity.publicKey, "endpoint", wrong);
  await measure("misdirected UDP", LONG);
  return { held: isHeld, figure: figures.join("; ") };
}

async function answers(namespace: TestNamespace, address: string): Promise<void> {
  await eventually(async () => {
    const { code } = await namespace.run(["ping", "-n", "-q", "-c1", "-W1", address]);
    return code === 0 || null;
  });
}

export const FLEET_FLOOD_ATTACKS: readonly Attack[] = [{
  name: "fleet-flood",
  title:
    "sends all it can to a client at another gateway of a fleet, and by a gateway that is not its own",
  attacker: "client",
  programs: ["nats-server", "ip", "ping", "iperf3", ...WIREGUARD_GO_PROGRAMS],
  run: flood,
}];
