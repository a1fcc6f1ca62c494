/** How both ends notice that the other is gone, and what they do about it. */
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../support/net.ts";
import { configText, newIdentity, type Section } from "./support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "./support/host_state.ts";
import { sendJunk } from "./support/hostile.ts";
import { capture, ping } from "./support/traffic.ts";
import { transfer, TRANSFER_PROGRAMS } from "./support/transfer.ts";
import { startVpn } from "./support/vpn.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "./support/wireguard_go.ts";
import {
  CABLE,
  changeAddress,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
  delay,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
} from "./support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "ping"];
/** ms that this machine may take besides, when it is busy with other things. */
const SLACK = 1_500;

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();

function serverConfig(section: Section = {}): string {
  return configText(
    {
      PrivateKey: serverIdentity.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${SERVER_INSIDE}/24`,
      ...section,
    },
    { Name: "laptop", PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` },
  );
}

function clientConfig(section: Section = {}): string {
  return configText(
    { PrivateKey: clientIdentity.privateKey, Address: `${CLIENT_INSIDE}/24`, ...section },
    { PublicKey: serverIdentity.publicKey, Endpoint: SERVER_ENDPOINT, AllowedIPs: SUBNET },
  );
}

/** Where junk is sent to. */
const CLIENT_PORT = 51999;
/** Long enough for either end to learn that the other beats, or answers beats. */
const LEARNING_TIME = 3_500;

/** The ms from now until the process logs `line`. */
async function timeUntil(process: BackgroundProcess, line: RegExp): Promise<number> {
  const start = performance.now();
  await process.waitFor(line, 15_000);
  return performance.now() - start;
}

async function cut(namespace: TestNamespace): Promise<void> {
  await namespace.output(["nft", "-f", "-"], {
    stdin: "table ip cut {\n" +
      "chain in { type filter hook input priority 0; policy drop; }\n" +
      "chain out { type filter hook output priority 0; policy drop; }\n}\n",
  });
}

async function mend(namespace: TestNamespace): Promise<void> {
  await namespace.output(["nft", "delete", "table", "ip", "cut"]);
}

netTest(
  "both ends notice within PeerTimeout when the link of an idle tunnel is cut, and the server releases",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const serverProcess = await startVpn("server", server, serverConfig({ ReleaseAfter: 6 }));
    const clientProcess = await startVpn("client", client, clientConfig());
    await delay(LEARNING_TIME);
    await cut(client);
    const [byClient, byServer, released] = await Promise.all([
      timeUntil(clientProcess, /is silent: connecting again/),
      timeUntil(serverProcess, /peer laptop: down/),
      timeUntil(serverProcess, /peer laptop: released/),
    ]);
    for (const time of [byClient, byServer, released]) {
      assert(time > 3_000 && time < 7_000 + SLACK, `after ${byClient}, ${byServer}, ${released}`);
    }
    await mend(client);
    await clientProcess.waitFor(/connected again to 192\.0\.2\.1:51820/, 10_000);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    assertMatch(serverProcess.stderr, /peer laptop: up/);
  },
  { programs: [...PROGRAMS, "nft"] },
);

netTest("an idle tunnel stays up for longer than PeerTimeout", async (topology) => {
  const { client, server } = await layWire(topology);
  const serverProcess = await startVpn("server", server, serverConfig({ PeerTimeout: 3 }));
  const clientProcess = await startVpn("client", client, clientConfig({ PeerTimeout: 3 }));
  await delay(10_000);
  for (const { stderr } of [serverProcess, clientProcess]) {
    assert(!/down|silent|abandoned/.test(stderr), stderr);
  }
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
}, { programs: PROGRAMS });

netTest(
  "client is back in under 5 s when the server was killed and starts anew",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const first = await startVpn("server", server, serverConfig());
    await startVpn("client", client, clientConfig());
    await delay(LEARNING_TIME);
    first.signal("SIGKILL");
    await first.status;
    await startVpn("server", server, serverConfig());
    const start = performance.now();
    while ((await ping(client, SERVER_INSIDE, { count: 1, wait: 0.3 })).received === 0) {
      const elapsed = performance.now() - start;
      assert(elapsed < 5_000, `not back after ${elapsed} ms`);
    }
  },
  { programs: PROGRAMS },
);

netTest(
  "client hears of the server's end at once, and is back when it returns",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const first = await startVpn("server", server, serverConfig());
    const clientProcess = await startVpn("client", client, clientConfig());
    first.signal("SIGTERM");
    const noticed = await timeUntil(clientProcess, /is silent: connecting again/);
    assert(noticed < 2_000 + SLACK, `after ${noticed} ms`);
    // The tunnel and its routes stay, so that nothing leaks.
    assertMatch(await client.output(["ip", "route", "get", SERVER_INSIDE]), /dev vpn0/);
    await delay(3_000);
    await startVpn("server", server, serverConfig());
    const back = await timeUntil(clientProcess, /connected again/);
    assert(back < 5_000 + SLACK, `after ${back} ms`);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  },
  { programs: PROGRAMS },
);

netTest(
  "client ends with 4, the host as before, when OnPeerTimeout is exit, whatever junk comes",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const before = await hostState(client);
    const serverProcess = await startVpn("server", server, serverConfig());
    const clientProcess = await startVpn(
      "client",
      client,
      clientConfig({ OnPeerTimeout: "exit", ListenPort: CLIENT_PORT }),
    );
    await delay(LEARNING_TIME);
    serverProcess.signal("SIGKILL");
    await serverProcess.status;
    const start = performance.now();
    const junk = setInterval(() => sendJunk(server, CLIENT_OUTSIDE, CLIENT_PORT), 500);
    const { code } = await clientProcess.status.finally(() => clearInterval(junk));
    const elapsed = performance.now() - start;
    assertEquals(code, 4, clientProcess.stderr);
    assert(elapsed < 7_000 + SLACK, `after ${elapsed} ms`);
    assertMatch(
      clientProcess.stderr,
      /vpn: Connection lost: nothing from 192\.0\.2\.1:51820 for 6 s/,
    );
    assertEquals(await hostState(client), before);
  },
  { programs: PROGRAMS },
);

netTest("server releases what a client held when it closes in good order", async (topology) => {
  const { client, server } = await layWire(topology);
  const serverProcess = await startVpn("server", server, serverConfig());
  const clientProcess = await startVpn("client", client, clientConfig());
  clientProcess.signal("SIGTERM");
  const released = await timeUntil(serverProcess, /peer laptop: released/);
  assert(released < 1_000 + SLACK, `after ${released} ms`);
  // And it may come back.
  await startVpn("client", client, clientConfig());
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
}, { programs: PROGRAMS });

netTest(
  "a download comes to its end when the client's address changes meanwhile",
  async (topology) => {
    const { client, server } = await layWire(topology);
    await startVpn("server", server, serverConfig());
    await startVpn("client", client, clientConfig());
    const download = transfer(server, client, {
      address: CLIENT_INSIDE,
      length: 512 * 1024 * 1024,
    });
    await delay(300);
    await changeAddress(client);
    const { intact, longestPause } = await download;
    assert(intact);
    assert(longestPause < 3_000, `nothing arrived for ${longestPause} ms`);
  },
  { programs: [...PROGRAMS, ...TRANSFER_PROGRAMS] },
);

netTest(
  "client leaves a stock server be while both are idle, and notices its end when it sends",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const config = configText(
      { PrivateKey: serverIdentity.privateKey, ListenPort: SERVER_PORT },
      { PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` },
    );
    const stock = await WireguardGo.start(server, config, [`${SERVER_INSIDE}/24`]);
    const clientProcess = await startVpn("client", client, clientConfig());
    await delay(9_000);
    assert(!clientProcess.stderr.includes("silent"), clientProcess.stderr);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    stock.process.signal("SIGKILL");
    await stock.process.status;
    const noticed = timeUntil(clientProcess, /192\.0\.2\.1:51820 is silent: connecting again/);
    await ping(client, SERVER_INSIDE, { count: 1, wait: 0.3 });
    const time = await noticed;
    assert(time < 7_500 + SLACK, `after ${time} ms`);
  },
  { programs: [...PROGRAMS, ...WIREGUARD_GO_PROGRAMS] },
);

netTest("an idle tunnel is up after a minute, and beats no more than it must", async (topology) => {
  const { client, server } = await layWire(topology);
  const serverProcess = await startVpn("server", server, serverConfig());
  const clientProcess = await startVpn("client", client, clientConfig());
  await using datagrams = await capture(client, CABLE, `udp port ${SERVER_PORT}`);
  await delay(60_000);
  for (const { stderr } of [serverProcess, clientProcess]) {
    assert(!/down|silent|abandoned/.test(stderr), stderr);
  }
  // A beat and its answer every two seconds, and what a handshake and the look at the path take.
  assert(datagrams.count() < 2 * 30 + 20, `${datagrams.count()} datagrams`);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
}, { programs: [...PROGRAMS, "tcpdump"], slow: true });
