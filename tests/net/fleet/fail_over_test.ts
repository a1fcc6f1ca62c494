/**
 * That a client of a fleet goes on by another gateway when the one that has the virtual address is killed, and with it
 * what it downloads through the NAT.
 */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { type BackgroundProcess, netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { examineFile } from "../support/doctor.ts";
import { FleetSite, GATEWAYS, hears, INSIDE, SERVER, VIRTUAL } from "../support/fleet_site.ts";
import { statusOf } from "../support/programs/instance.ts";
import { environment } from "../../support/permissions.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { WIREGUARD_GO_PROGRAMS } from "../support/programs/wireguard_go.ts";
import { Download, DOWNLOAD_PROGRAMS } from "../support/traffic/download.ts";
import { ping } from "../support/traffic/traffic.ts";

/** The first client's address inside, and the second's. */
const FIRST = "10.66.77.2";
const SECOND = "10.66.77.3";

/** By hand: how often the owner is killed, with the gaps printed. */
const KILLS = Number(environment("VPN_TEST_KILLS") ?? 1);

netTest(
  "a stock client goes on by another gateway when its own is killed, stopped, drained or cut off, and begins no handshake",
  async (topology) => {
    await using site = await FleetSite.lay(topology, (number) => ({
      Egress: "off",
      // Not as many everywhere: what one hands to another is for any worker there.
      DataPlaneThreads: number,
    }));
    const running = await site.startAll();
    const client = await site.stockClient(running, {
      namespace: site.hub,
      network: "10.66.77.0/24",
      route: `${INSIDE}/32`,
    });
    const begun = () => client.process.stdout.split("Sending handshake initiation").length - 1;
    await using pings = site.hub.spawn(
      ["stdbuf", "-oL", "ping", "-n", "-D", "-i", "0.05", INSIDE],
    );
    await pings.waitFor(/icmp_seq=\d+5 /);
    assertEquals(begun(), 1);
    // What another program takes away is put back.
    const first = site.gateways[site.holders()[0]! - 1]!;
    await first.output(["ip", "address", "delete", `${VIRTUAL}/32`, "dev", "vpn0"]);
    await eventually(() => site.holders().length === 1 || null);

    const holder = running.get(site.holders()[0]!)!;
    const virtualAddress = await eventually(async () => {
      const virtual = (await statusOf(holder)).store!.virtualAddress!;
      return virtual.gateways.every(({ isUp }) => isUp) ? virtual : null;
    });
    assertEquals([virtualAddress.address, virtualAddress.isHere], [VIRTUAL, true]);
    assertEquals(virtualAddress.gateways.length, 3);

    // One that is drained gives it to another, and the client with it.
    const drained = site.holders()[0]!;
    const elsewhere = drained % GATEWAYS.length + 1;
    const number = await site.numberOfHolder(elsewhere);
    // Clients of different gateways reach each other, before and after that, as far as rules allow.
    await client.route(`${SECOND}/32`);
    await using neighbour = await Neighbour.connect(site, running, elsewhere);
    await neighbour.download.goesOn();
    await using watched = site.gateways[elsewhere - 1]!.spawn(
      vpnCommand("fleet", "status", "--watch", "--config", site.config(elsewhere)),
    );
    await watched.waitFor(/has the virtual address/);
    assertMatch(await site.fleet(elsewhere, "drain", number), /is drained; .* has the virtual/);
    await watched.waitFor(new RegExp(`gateway ${number} .*, drained`));
    await watched.stop();
    await eventually(() => site.holders().every((each) => each !== drained) || null);
    await nextAnswer(pings);
    await neighbour.isDenied();
    await neighbour.download.endsIntact();

    // One that is cut off gives it up, and takes nothing when it is back.
    const [cutOff] = site.holders();
    assert(cutOff !== undefined && cutOff !== drained);
    await site.hub.output(["ip", "link", "set", `to-${cutOff}`, "down"]);
    await eventually(() => site.holders().every((each) => each !== cutOff) || null);
    await eventually(() => site.holders().length === 1 || null);
    await nextAnswer(pings);
    const [last] = site.holders();
    assert(last !== drained);
    await site.hub.output(["ip", "link", "set", `to-${cutOff}`, "up"]);
    assertMatch(await site.fleet(elsewhere, "rebalance", number), /may have the virtual address/);
    await hears(running.get(last!)!, GATEWAYS.length);
    assertEquals(site.holders(), [last]);
    assertEquals(begun(), 1);

    // A balancer brings the client's datagrams to another gateway, which hands them to the one whose session it is.
    const balanced = site.gateways[last! % GATEWAYS.length]!;
    await balanced.output(["ip", "address", "add", `${VIRTUAL}/32`, "dev", "lo"]);
    const { hardwareAddress } = balanced.rtnetlink.links.get("eth0");
    const link = Array.from(hardwareAddress!, (byte) => byte.toString(16).padStart(2, "0")).join(
      ":",
    );
    await site.hub.output(
      ["ip", "neighbour", "replace", VIRTUAL, "lladdr", link, "dev", "lan", "nud", "permanent"],
    );
    await nextAnswer(pings);
    // Doctor tells that it has the address as well, and that its interface takes shorter packets than the others.
    await balanced.output(["ip", "link", "set", "eth0", "mtu", "1400"]);
    const report = await examineFile(site.gateways[last! - 1]!, site.config(last!));
    report.expect("fleet-address", { status: "fail", why: new RegExp(`another host.*: ${link}:`) });
    const [short] = report.findings.filter(({ name, status }) =>
      name === "fleet-paths" && status !== "ok"
    );
    assertMatch(short?.why ?? "", /packets of 1500 bytes do not reach .*, those of 1400 do/);
    await balanced.output(["ip", "link", "set", "eth0", "mtu", "1500"]);
    await site.hub.output(["ip", "neighbour", "delete", VIRTUAL, "dev", "lan"]);
    await balanced.output(["ip", "address", "delete", `${VIRTUAL}/32`, "dev", "lo"]);
    assertEquals(begun(), 1);

    const gaps: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const [owner] = site.holders();
      assert(owner !== undefined);
      const killedAt = Date.now() / 1000;
      running.get(owner)!.signal("SIGKILL");
      // Its address has gone with it, and traffic is back.
      gaps.push(await eventually(() => gapAfter(pings.stdout, killedAt)));
      // Two that a busy machine keeps from hearing each other have it for a moment.
      await eventually(() => site.holders().length === 1 || null);
      assert(site.holders()[0] !== owner);
      if (kill < KILLS - 1) running.set(owner, await site.start(owner));
    }
    if (KILLS > 1) {
      const text = gaps.map((gap) => Math.round(1000 * gap)).join(" ");
      Deno.stdout.writeSync(new TextEncoder().encode(`gaps, ms: ${text}\n`));
    }
    // One that is stopped hands the client over before it ends, also to the last that is left.
    const [owner] = site.holders();
    const stopped = running.get(owner!)!;
    await stopped.stop();
    assertMatch(stopped.stderr, /virtual address 203\.0\.113\.5 is given up: another/);
    await nextAnswer(pings);
    assertEquals(begun(), 1);
    // One that is removed has it no more, while it runs; this is no hand-over, and the client may notice.
    const removed = site.holders()[0]!;
    running.set(owner!, await site.start(owner!));
    await hears(running.get(removed)!, 2);
    await site.fleet(removed, "remove", await site.numberOfHolder(removed));
    await running.get(removed)!.waitFor(/is given up: this gateway was removed from the fleet/);
    await eventually(() => site.holders().every((each) => each !== removed) || null);
    await nextAnswer(pings);
  },
  {
    programs: [
      "nats-server",
      "ip",
      "ping",
      "stdbuf",
      ...DOWNLOAD_PROGRAMS,
      ...WIREGUARD_GO_PROGRAMS,
    ],
  },
);

netTest(
  "what a stock client downloads through the NAT goes on when its gateway is drained, and when the next one is killed",
  async (topology) => {
    await using site = await FleetSite.lay(topology, () => ({}));
    for (const gateway of site.gateways) {
      await gateway.output(["ip", "route", "add", "default", "via", "203.0.113.254"]);
    }
    const running = await site.startAll();
    await eventually(() => site.holders().length === 1 || null);
    await hears(running.get(site.holders()[0]!)!, GATEWAYS.length);
    const client = await site.stockClient(running, {
      namespace: site.elsewhere,
      network: `${SERVER}/32,${INSIDE}/32`,
      route: `${SERVER}/32`,
    });
    await client.route(`${INSIDE}/32`);
    const ends = { client: site.elsewhere, server: site.hub, address: SERVER };
    await using download = new Download(ends);
    await download.goesOn();
    // The host of another gateway reaches it, and has its answer.
    const another = site.gateways[site.holders()[0]! % GATEWAYS.length]!;
    assertEquals((await ping(another, FIRST)).received, 3);

    const drained = site.holders()[0]!;
    await site.fleet(drained, "drain", await site.numberOfHolder(drained));
    await eventually(() => site.holders().every((each) => each !== drained) || null);
    await download.goesOn();

    const [killed] = site.holders();
    running.get(killed!)!.signal("SIGKILL");
    await eventually(() => site.holders().some((each) => each !== killed) || null);
    await download.goesOn();
    await download.endsIntact();
    const heir = running.get(site.holders()[0]!)!;
    await heir.waitFor(/flows through the NAT that go on here: 1; that cannot: 0/);
  },
  { programs: ["nats-server", "ip", "ping", ...DOWNLOAD_PROGRAMS, ...WIREGUARD_GO_PROGRAMS] },
);

/** Another stock client, which writes to one gateway's own address and downloads from the first. */
class Neighbour implements AsyncDisposable {
  readonly download: Download;
  readonly #site: FleetSite;
  readonly #at: number;

  private constructor(site: FleetSite, at: number) {
    this.#site = site;
    this.#at = at;
    this.download = new Download({ client: site.elsewhere, server: site.hub, address: FIRST });
  }

  static async connect(
    site: FleetSite,
    running: ReadonlyMap<number, BackgroundProcess>,
    at: number,
  ): Promise<Neighbour> {
    await site.stockClient(running, {
      namespace: site.elsewhere,
      network: "10.66.77.0/24",
      route: "10.66.77.0/24",
      place: 2,
      by: at,
    });
    // The gateways have yet to hear where it is.
    await eventually(async () =>
      (await ping(site.elsewhere, FIRST, { count: 1, wait: 1 })).received === 1 || null
    );
    assertEquals((await ping(site.elsewhere, FIRST)).received, 3);
    return new Neighbour(site, at);
  }

  /** Is denied to begin a ping, answers one all the same, and goes on downloading. */
  async isDenied(): Promise<void> {
    const { elsewhere, gateways, hub } = this.#site;
    const rule = ["peer", "set", "client-2", "Deny", "peer:client-1 icmp"];
    const config = ["--config", this.#site.config(this.#at)];
    await gateways[this.#at - 1]!.output(vpnCommand(...rule, ...config));
    await eventually(async () =>
      /Packet filtered/.test(
        (await elsewhere.run(["ping", "-n", "-c", "1", "-W", "1", FIRST])).stdout,
      ) ||
      null
    );
    assertEquals((await ping(hub, SECOND)).received, 3);
    await this.download.goesOn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.download[Symbol.asyncDispose]();
  }
}

/** Seconds between the last answer before what happened at `at`, Unix s, and the first behind it; null for none yet. */
function gapAfter(output: string, at: number): number | null {
  const times = Array.from(
    output.matchAll(/^\[(\d+\.\d+)\] .*icmp_seq=/gm),
    ([, time]) => Number(time),
  );
  // What was under way then came within this.
  const first = times.findIndex((time) => time > at + 0.2);
  return first < 1 ? null : times[first]! - times[first - 1]!;
}

/** Waits until a ping that is sent from now on is answered. */
async function nextAnswer(pings: BackgroundProcess): Promise<void> {
  const now = Date.now() / 1000;
  await eventually(() => {
    const [, time] = Array.from(pings.stdout.matchAll(/^\[(\d+\.\d+)\] .*icmp_seq=/gm)).at(-1)!;
    return Number(time) > now + 0.1 || null;
  });
}
