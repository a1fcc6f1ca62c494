/**
 * What leaves a host whose client is to take all traffic: recorded on the outside while programs keep sending, before
 * the connection, with it, while the server is away, after its return, and when the client is killed.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import {
  type BackgroundProcess,
  netTest,
  type TestNamespace,
  type Topology,
} from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { chat } from "../support/programs/chatter.ts";
import {
  record,
  recordedAll,
  recordedKinds,
  type Recording,
  RECORDING_PROGRAMS,
} from "../support/traffic/recording.ts";
import { endWell, killHard, type SimpleTunnel, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import {
  CABLE,
  CLIENT_OUTSIDE,
  delay,
  FAR_SERVER,
  layWire,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
  type Wire,
} from "../support/wire.ts";

const PROGRAMS = ["ip", "ping", "sysctl", ...RECORDING_PROGRAMS];

/** Somebody beyond the default route, and the neighbour on the cable, who is a resolver, too. */
const FAR = "198.51.100.9";
const NEIGHBOUR = SERVER_OUTSIDE;
const FAR6 = "2001:db8:2::1";
const NEIGHBOUR6 = "2001:db8:1::1";
const CLIENT6 = "2001:db8:1::2";
/** A host behind the client, which forwards for it. */
const CONTAINER = "10.55.0.2";
const CONTAINER_GATEWAY = "10.55.0.1";

/** What follows the default route. */
const FAR_TRAFFIC: Readonly<Record<string, string>> = {
  "UDP": `udp dst port 4000 and src host ${CLIENT_OUTSIDE} and dst host ${FAR}`,
  "DNS": `udp dst port 53 and dst host ${FAR}`,
  "TCP": `tcp[tcpflags] & tcp-syn != 0 and dst host ${FAR}`,
  "ping": `icmp[icmptype] = icmp-echo and src host ${CLIENT_OUTSIDE} and dst host ${FAR}`,
  "UDP over IPv6": `ip6 and udp and dst host ${FAR6}`,
  "TCP over IPv6": `ip6 and tcp and dst host ${FAR6}`,
  "forwarded UDP": `udp and src host ${CONTAINER} and dst host ${FAR}`,
};
/** What passes routing by: neighbours on the cable, and a program that chooses the interface itself. */
const NEAR_TRAFFIC: Readonly<Record<string, string>> = {
  "DNS to a neighbour": `udp dst port 53 and dst host ${NEIGHBOUR}`,
  "TCP to a neighbour": `tcp and dst host ${NEIGHBOUR}`,
  "ping by the interface": `icmp[icmptype] = icmp-echo and dst host 198.51.100.10`,
  "UDP over IPv6 to a neighbour": `ip6 and udp and dst host ${NEIGHBOUR6}`,
  "neighbour discovery": "icmp6 and (ip6[40] = 135 or ip6[40] = 136)",
  "multicast over IPv6": "ip6 dst ff02::1",
};
const ALL_TRAFFIC = { ...FAR_TRAFFIC, ...NEAR_TRAFFIC };
/** The tunnel's own, by `Transport`. */
const OWN = { udp: own("udp"), faketcp: own("tcp") } as const;

function own(protocol: "udp" | "tcp"): string {
  const ends = `src host ${CLIENT_OUTSIDE} and dst host ${FAR_SERVER} and dst port ${SERVER_PORT}`;
  return `(${protocol} and ${ends})`;
}

/** A client and its server, with everything in place but the tunnel. */
class Site {
  readonly client: TestNamespace;
  readonly server: TestNamespace;
  readonly #tunnel: SimpleTunnel = simpleTunnel();
  #serverProcess: BackgroundProcess | null = null;

  private constructor({ client, server }: Wire) {
    this.client = client;
    this.server = server;
  }

  static async lay(topology: Topology): Promise<Site> {
    const wire = await layWire(topology);
    const container = topology.namespace("container");
    topology.cable(
      { namespace: wire.client, name: "inner0", address: `${CONTAINER_GATEWAY}/24` },
      { namespace: container, name: CABLE, address: `${CONTAINER}/24` },
    );
    const commands = (namespace: TestNamespace, ...lines: string[]) =>
      namespace.output(["ip", "-batch", "-"], { stdin: `${lines.join("\n")}\n` });
    await commands(
      wire.server,
      `address add ${FAR_SERVER}/32 dev lo`,
      `address add ${NEIGHBOUR6}/64 dev ${CABLE} nodad`,
    );
    await commands(
      wire.client,
      `route add default via ${SERVER_OUTSIDE}`,
      `address add ${CLIENT6}/64 dev ${CABLE} nodad`,
      `route add default via ${NEIGHBOUR6}`,
    );
    await commands(container, `route add default via ${CONTAINER_GATEWAY}`);
    await wire.client.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    const site = new Site(wire);
    site.#chat(container);
    await site.startServer();
    return site;
  }

  /** Programs that send all the time. */
  #chat(container: TestNamespace): void {
    chat(
      this.client,
      ...[`udp://${FAR}:4000`, `udp://${FAR}:53`, `tcp://${FAR}:80`],
      ...[`udp://${NEIGHBOUR}:53`, `tcp://${NEIGHBOUR}:80`],
      ...[`udp://[${FAR6}]:4000`, `tcp://[${FAR6}]:80`, `udp://[${NEIGHBOUR6}]:53`],
      // Of one that is not there, discovery is made over and over.
      "udp://[2001:db8:1::99]:53",
    );
    chat(container, `udp://${FAR}:4000`);
    this.client.spawn(["ping", "-n", "-q", "-i", "0.1", FAR]);
    this.client.spawn(["ping", "-n", "-q", "-i", "0.1", "-I", CABLE, "198.51.100.10"]);
    this.client.spawn(["ping", "-n", "-q", "-i", "0.1", "-I", CABLE, "ff02::1"]);
  }

  async startServer(): Promise<void> {
    this.#serverProcess = await startVpn(
      "server",
      this.server,
      this.#tunnel.server({ Transport: "auto" }),
    );
  }

  /** Ends the server until the client has noticed and connects again, and waits until the server is in use again. */
  async interrupt(client: BackgroundProcess): Promise<void> {
    // It says goodbye, so that nobody waits for its silence.
    await endWell(this.#serverProcess!);
    await client.waitFor(/no packets from \S+: reconnecting/);
    await delay(1_000);
    await this.startServer();
    await eventually(async () =>
      (await ping(this.client, SERVER_INSIDE, { count: 1, wait: 1 })).received > 0 || null
    );
  }

  startClient(section: Readonly<Record<string, string>> = {}): Promise<BackgroundProcess> {
    const config = this.#tunnel.client(section, {
      AllowedIPs: "0.0.0.0/0, ::/0",
      Endpoint: `${FAR_SERVER}:${SERVER_PORT}`,
    });
    return startVpn("client", this.client, config);
  }

  /** What the client's host sends outside from now on. */
  async record(): Promise<Recording> {
    const link = await this.client.output(["ip", "link", "show", "dev", CABLE]);
    const address = /link\/ether (\S+)/.exec(link)![1];
    return await record(this.server, CABLE, `ether src ${address}`, { immediate: true });
  }

  /** Waits until the host sends each kind outside. */
  async sees(kinds: Readonly<Record<string, string>>): Promise<void> {
    await using recording = await this.record();
    await recordedAll(recording, kinds);
  }
}

async function assertOnlyOwn(recording: Recording, own: string): Promise<void> {
  await recording.stop();
  assertEquals(await recording.describe(`not arp and not ${own}`), "");
  assert(await recording.count(own) > 0, "the tunnel's own datagrams were not recorded");
}

for (const [transport, own] of Object.entries(OWN)) {
  netTest(
    `nothing but the tunnel leaves under KillSwitch by ${transport}, whatever happens`,
    async (topology) => {
      const site = await Site.lay(topology);
      // All of it leaves without a tunnel: what is not seen later is not missed for want of a sender or a recorder.
      await site.sees(ALL_TRAFFIC);

      const process = await site.startClient({ KillSwitch: "on", Transport: transport });
      await using recording = await site.record();
      assertEquals((await ping(site.client, SERVER_INSIDE)).received, 3);
      await site.interrupt(process);
      await assertOnlyOwn(recording, own);

      // Killed, it leaves the host closed; the TUN and its routes are gone.
      await using closed = await site.record();
      await killHard(process);
      await delay(1_500);
      await closed.stop();
      assertEquals(await closed.describe(`not arp and not ${own}`), "");
      await site.client.output(vpnCommand("cleanup"));
      await site.sees(ALL_TRAFFIC);
    },
    { programs: PROGRAMS },
  );
}

netTest(
  "nothing that follows the routes leaves a full tunnel without KillSwitch",
  async (topology) => {
    const site = await Site.lay(topology);
    await site.sees(FAR_TRAFFIC);
    const process = await site.startClient();
    await using recording = await site.record();
    await site.interrupt(process);
    await recording.stop();
    assertEquals(await recordedKinds(recording, FAR_TRAFFIC), []);
    // Neighbours stay reachable, and who chooses the interface himself leaves: that takes KillSwitch.
    assertEquals(await recordedKinds(recording, NEAR_TRAFFIC), Object.keys(NEAR_TRAFFIC));
    await process.stop();
    await site.sees(FAR_TRAFFIC);
  },
  { programs: PROGRAMS },
);
