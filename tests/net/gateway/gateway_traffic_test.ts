/**
 * Everyday traffic through a gateway to a third host: by each way outside, and by our client and by stock WireGuard.
 */
import type { Status } from "../../../lib/control/status.ts";
import { workerOfDestination } from "../../../lib/dataplane/filters/steering.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { type Section } from "../support/config.ts";
import {
  curl,
  EVERYDAY_PROGRAMS,
  fetchText,
  showEverydayTraffic,
} from "../support/traffic/everyday.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INTERNET } from "../support/gateway.ts";
import { FTP_FILE, FTP_PROGRAMS, startFtp } from "../support/programs/ftp.ts";
import { addressOf } from "../support/outside.ts";
import { Site } from "../support/site.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { WIREGUARD_GO_PROGRAMS } from "../support/programs/wireguard_go.ts";

const WAYS: Readonly<Record<string, Section>> = {
  "our NAT": {},
  "the kernel's NAT": { Egress: "kernel" },
};

for (const [way, section] of Object.entries(WAYS)) {
  netTest(`a client reaches the internet through ${way}`, async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    await network.startBoth(section);
    await showEverydayTraffic(network.client.namespace, network.internet);
  }, { programs: EVERYDAY_PROGRAMS });
}

netTest(
  "a client reaches the internet through our NAT by a netfilter queue, for which one of two threads translates, as the log and the status say",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    const [, { inside, namespace }] = network.clients;
    // Not that of the thread which translates.
    assertEquals(workerOfDestination(addressOf(inside), 2), 1);
    const server = await network.startBoth({ Capture: "nfqueue", DataPlaneThreads: "2" });
    await showEverydayTraffic(namespace, network.internet);
    const reason = "Capture = nfqueue needs one";
    assertStringIncludes(
      server.stderr,
      `one thread translates, though DataPlaneThreads = 2: ${reason}`,
    );
    const all: Status[] = JSON.parse(await network.gateway.output(vpnCommand("status", "--json")));
    const { workers, oneThread } = all.find(({ pid }) => pid === server.pid)!;
    assertEquals([workers.length, oneThread], [2, reason]);
  },
  { programs: EVERYDAY_PROGRAMS },
);

netTest("a stock WireGuard client reaches the internet through our NAT", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  await network.start();
  await network.connectWireguardGo();
  await showEverydayTraffic(network.client.namespace, network.internet);
}, { programs: [...EVERYDAY_PROGRAMS, ...WIREGUARD_GO_PROGRAMS] });

netTest("a client fetches a file by FTP in passive mode", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  await network.startBoth();
  await using server = await startFtp(network.internet, INTERNET);
  for (const mode of [[], ["--disable-epsv"]]) {
    const url = `ftp://${INTERNET}/${FTP_FILE}`;
    const text = await network.client.namespace.output([...curl(url), ...mode]);
    assertEquals(text, server.text, `with ${mode[0] ?? "EPSV"}`);
  }
}, { programs: [...GATEWAY_PROGRAMS, ...FTP_PROGRAMS] });

netTest("a connection outlives a minute in which nothing is said", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  await network.startBoth();
  await using _site = new Site(network.internet, 80);
  const page = `http://${INTERNET}/pause/60000`;
  assertEquals(await fetchText(network.client.namespace, page, 80), "before after");
}, { programs: [...GATEWAY_PROGRAMS, "curl"], slow: true });

netTest(
  "a stock client's connection outlives five minutes in which nothing is said",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const gateway = await network.start();
    await network.connectWireguardGo();
    await using _site = new Site(network.internet, 80);
    const page = `http://${INTERNET}/pause/300000`;
    assertEquals(await fetchText(network.client.namespace, page, 330), "before after");
    // Longer than ReleaseAfter: who never beat is not missed.
    assert(!/: (down|released)/.test(gateway.stderr), gateway.stderr);
  },
  { programs: [...GATEWAY_PROGRAMS, ...WIREGUARD_GO_PROGRAMS, "curl"], slow: true },
);
