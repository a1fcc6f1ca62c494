/** That gateways which `vpn fleet` has set up with one store have the same peers, with NATS and without it. */
import { assert, assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { NatsServers } from "../../support/fleet/nats_servers.ts";
import { temporaryFolder } from "../../support/folder.ts";
import {
  type BackgroundProcess,
  netTest,
  type TestNamespace,
  type Topology,
} from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity } from "../support/config.ts";
import { statusOf } from "../support/programs/instance.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";
import { ping } from "../support/traffic/traffic.ts";
import { carrierOn } from "../support/wire.ts";

const INSIDE = "10.66.77.1";
/** Of the hub, which has NATS. */
const NATS = "192.0.2.17";
const GATEWAYS = [1, 2, 3];

/** A hub with NATS and the client, and a cable to each gateway. */
class Site implements AsyncDisposable {
  readonly folder = temporaryFolder();
  readonly hub: TestNamespace;
  readonly gateways: readonly TestNamespace[];
  nats!: NatsServers;

  private constructor(topology: Topology) {
    this.hub = topology.namespace("hub");
    this.gateways = GATEWAYS.map((number) => {
      const namespace = topology.namespace(`gateway-${number}`);
      topology.cable(
        { namespace: this.hub, name: `to-${number}`, address: `192.0.2.${16 * number + 1}/28` },
        { namespace, name: "eth0", address: `192.0.2.${16 * number + 2}/28` },
      );
      return namespace;
    });
  }

  static async lay(topology: Topology): Promise<Site> {
    const site = new Site(topology);
    await Promise.all(site.gateways.map((gateway) => carrierOn(gateway, "eth0")));
    for (const number of GATEWAYS.slice(1)) {
      await site.gateways[number - 1]!.output([
        ...["ip", "route", "add", NATS, "via", `192.0.2.${16 * number + 1}`],
      ]);
    }
    await site.setUp();
    return site;
  }

  /** As a newcomer does it, by `vpn fleet init` on the first gateway and `vpn fleet join` on the others. */
  async setUp(): Promise<void> {
    for (const number of GATEWAYS) Deno.mkdirSync(this.state(number));
    Deno.writeTextFileSync(
      this.config(1),
      configText({
        PrivateKey: newIdentity().privateKey,
        Address: `${INSIDE}/24`,
        ListenPort: 51820,
        PublicEndpoint: this.endpoint(1),
        Egress: "off",
        StoreGrace: "1h",
      }),
      { mode: 0o600 },
    );
    const out = `${this.folder}/fleet`;
    await this.fleet(1, "init", "--nats", NATS, "--out", out);
    const server = `${out}/nats-1`;
    this.nats = await NatsServers.start({
      folder: this.folder,
      count: 1,
      namespace: this.hub.name,
      address: NATS,
      ports: [[4222, 6222]],
      configOf: () =>
        Deno.readTextFileSync(`${server}/nats-server.conf`).replaceAll("/etc/nats", server)
          .replace("/var/lib/nats", `${this.folder}/data`),
    });
    for (const number of GATEWAYS.slice(1)) {
      const token = `${out}/gateway-${number}.token`;
      const said = await this.fleet(number, "join", token, "--endpoint", this.endpoint(number));
      assertMatch(said, new RegExp(`${NATS}:4222 answers, with 0 peers`));
    }
  }

  /** Says `vpn fleet ARGS` on a gateway's host. */
  fleet(number: number, ...args: readonly string[]): Promise<string> {
    return this.gateways[number - 1]!.output(
      vpnCommand("fleet", ...args, "--config", this.config(number)),
    );
  }

  config(number: number): string {
    return `${this.folder}/gateway-${number}.conf`;
  }

  state(number: number): string {
    return `${this.folder}/state-${number}`;
  }

  endpoint(number: number): string {
    return `192.0.2.${16 * number + 2}:51820`;
  }

  async start(number: number): Promise<BackgroundProcess> {
    const process = this.gateways[number - 1]!.spawn(
      vpnCommand("server", "--config", this.config(number)),
      { env: { STATE_DIRECTORY: this.state(number) } },
    );
    await process.waitFor(/listening on UDP port/);
    return process;
  }

  /** Says `vpn peer ARGS` on a gateway's host. */
  peer(number: number, ...args: readonly string[]): Promise<string> {
    return this.gateways[number - 1]!.output(
      vpnCommand("peer", ...args, "--config", this.config(number)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nats[Symbol.asyncDispose]();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

netTest(
  "gateways with a store, as vpn fleet sets them up, have the same peers, and go on without it",
  async (topology) => {
    await using site = await Site.lay(topology);
    await using one = await site.start(1);
    let two = await site.start(2);
    await using _two = { [Symbol.asyncDispose]: () => two[Symbol.asyncDispose]() };

    // Added on the one, it connects to the other.
    let ann = await added(site, "ann");
    await eventually(async () => (await namesOf(two)).join() === "ann" || null);
    await connects(site, ann, 2);

    // And to a third, which is a gateway by itself when it has left.
    await using three = await site.start(3);
    await connects(site, ann, 3);
    await site.fleet(3, "leave", "--keep-peers");
    await three.stop();
    const left = Deno.readTextFileSync(site.config(3));
    assertMatch(left, /^Name = ann$/m);
    assert(!/^(?:Store|VirtualAddress)/m.test(left));

    // Removed on the one, it is out at the other.
    await added(site, "bob");
    await eventually(async () => (await namesOf(two)).length === 2 || null);
    await site.peer(1, "remove", "bob");
    await eventually(async () => (await namesOf(two)).join() === "ann" || null);
    assertEquals(await namesOf(one), ["ann"]);

    // A change reaches both.
    await site.peer(2, "set", "ann", "RateLimit", "50M");
    for (const gateway of [one, two]) {
      await eventually(async () =>
        (await statusOf(gateway)).peers[0]?.rateLimit === 50_000_000 || null
      );
    }
    assertEquals((await statusOf(one)).store!.revision, (await statusOf(two)).store!.revision);

    // New keys from the one's host are the other's as well; the first connection with them ends the old ones at both.
    const old = ann;
    ann = await site.peer(1, "rotate", "ann", "--allowed-ips", "10.66.77.0/24", "--out", "-");
    const list = async () => JSON.parse(await site.peer(2, "list", "--json"));
    const [{ publicKey: oldKey, nextPublicKey }] = await list();
    await connects(site, old, 2);
    assertEquals((await list())[0].publicKey, oldKey);
    await connects(site, ann, 2);
    for (const gateway of [one, two]) {
      await eventually(async () => {
        const { peers } = await statusOf(gateway);
        return peers.map(({ publicKey }) => publicKey).join() === nextPublicKey || null;
      });
    }
    const [{ publicKey, nextPublicKey: none }] = await list();
    assertEquals([publicKey, none], [nextPublicKey, null]);

    // Without NATS all goes on, and nothing can be changed.
    await site.nats.stop(0);
    await eventually(async () => (await statusOf(two)).store!.connected ? null : true);
    await connects(site, ann, 1);
    const refusal = await assertRejects(() => site.peer(1, "add", "carl"), Error);
    assertMatch(refusal.message, /the store cannot be reached/);
    const { store, state } = await statusOf(two);
    assertEquals([state, store!.admitsNew], ["up", true]);
    assert(store!.lastContact !== null && store!.problem !== null);

    // A gateway starts from what it has kept.
    await two.stop();
    two = await site.start(2);
    assertMatch(two.stderr, /starting with the peers of/);
    assertEquals(await namesOf(two), ["ann"]);
    await connects(site, ann, 2);

    // And follows again when NATS is back.
    site.nats.start(0);
    await eventually(async () => (await statusOf(two)).store!.connected || null);
    await site.peer(2, "remove", "ann");
    await eventually(async () => (await namesOf(one)).length === 0 || null);
  },
  { programs: ["nats-server", ...WIREGUARD_GO_PROGRAMS, "ping"] },
);

/** Adds a client at the first gateway; gives its file. */
function added(site: Site, name: string): Promise<string> {
  return site.peer(1, "add", name, "--allowed-ips", "10.66.77.0/24", "--out", "-");
}

/** Has wireguard-go connect to a gateway by this file, which answers it then. */
async function connects(site: Site, file: string, number: number): Promise<void> {
  const [, address] = /Address = (\S+?)\/\d+/.exec(file)!;
  const setconf = file.replace(/^(?:Address|DNS|MTU) = .*\n/gm, "")
    .replace(/^Endpoint = .*$/m, `Endpoint = ${site.endpoint(number)}`);
  const client = await WireguardGo.start(site.hub, setconf, [`${address}/32`]);
  await client.route(`${INSIDE}/32`);
  assertEquals((await ping(site.hub, INSIDE)).received, 3);
  await client.process.stop();
}

async function namesOf(gateway: BackgroundProcess): Promise<(string | null)[]> {
  return (await statusOf(gateway)).peers.map(({ name }) => name);
}
