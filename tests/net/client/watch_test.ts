/** How both ends notice that the other is gone, and what they do about it. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity, type Section } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { HEARTBEAT_PROGRAMS, heartbeatsAnswered } from "../support/traffic/heartbeats.ts";
import { sendJunk } from "../support/traffic/hostile.ts";
import { capture, ping } from "../support/traffic/traffic.ts";
import { flowAcross, MOVING_FLOW_PROGRAMS } from "../support/traffic/moving_flow.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";
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
} from "../support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, ...HEARTBEAT_PROGRAMS, "ping"];

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

/** The ms from now until the process logs `line`. */
async function timeUntil(process: BackgroundProcess, line: RegExp): Promise<number> {
  const start = performance.now();
  await process.waitFor(line);
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
  "both ends notice when the link of an idle tunnel is cut, and the server releases",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const serverProcess = await startVpn("server", server, serverConfig({ ReleaseAfter: 6 }));
    const clientProcess = await startVpn("client", client, clientConfig());
    await heartbeatsAnswered(client);
    await cut(client);
    const [byClient, byServer, released] = await Promise.all([
      timeUntil(clientProcess, /is silent: connecting again/),
      timeUntil(serverProcess, /peer laptop: down/),
      timeUntil(serverProcess, /peer laptop: released/),
    ]);
    for (const time of [byClient, byServer, released]) {
      assert(time > 3_000, `after ${byClient}, ${byServer}, ${released}`);
    }
    await mend(client);
    await clientProcess.waitFor(/connected again to 192\.0\.2\.1:51820/);
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
  "client is back by itself when the server was killed and starts again",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const first = await startVpn("server", server, serverConfig());
    await startVpn("client", client, clientConfig());
    await heartbeatsAnswered(client);
    first.signal("SIGKILL");
    await first.status;
    await startVpn("server", server, serverConfig());
    await eventually(async () =>
      (await ping(client, SERVER_INSIDE, { count: 1, wait: 0.3 })).received > 0 || null
    );
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
    // By its silence, it would take the client over four seconds.
    await clientProcess.waitFor(/is silent: connecting again/);
    // The tunnel and its routes stay, so that nothing leaks.
    assertMatch(await client.output(["ip", "route", "get", SERVER_INSIDE]), /dev vpn0/);
    await delay(3_000);
    await startVpn("server", server, serverConfig());
    await clientProcess.waitFor(/connected again/);
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
    await heartbeatsAnswered(client);
    serverProcess.signal("SIGKILL");
    await serverProcess.status;
    const junk = setInterval(() => sendJunk(server, CLIENT_OUTSIDE, CLIENT_PORT), 500);
    const { code } = await clientProcess.status.finally(() => clearInterval(junk));
    assertEquals(code, 4, clientProcess.stderr);
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
  // ReleaseAfter is far longer than this waits.
  await serverProcess.waitFor(/peer laptop: released/);
  // And it may come back.
  await startVpn("client", client, clientConfig());
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
}, { programs: PROGRAMS });

netTest(
  "a download goes on when the client's address changes meanwhile",
  async (topology) => {
    const { client, server } = await layWire(topology);
    await startVpn("server", server, serverConfig());
    await startVpn("client", client, clientConfig());
    await flowAcross(server, client, CLIENT_INSIDE, () => changeAddress(client));
  },
  { programs: [...PROGRAMS, ...MOVING_FLOW_PROGRAMS] },
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
    await ping(client, SERVER_INSIDE, { count: 1, wait: 0.3 });
    await clientProcess.waitFor(/192\.0\.2\.1:51820 is silent: connecting again/);
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
