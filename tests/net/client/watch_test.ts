/**
 * How both ends notice that the other is gone, and what they do about it, end to end: one case of each. The rules, the
 * times and all other cases are in tests/behaviour/wireguard/watch_test.ts and tests/unit/core/client/.
 */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../../support/net.ts";
import { configText, newIdentity, type Section } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { HEARTBEAT_PROGRAMS, heartbeatsAnswered } from "../support/traffic/heartbeats.ts";
import { sendJunk } from "../support/traffic/hostile.ts";
import { ping } from "../support/traffic/traffic.ts";
import { flowAcross, MOVING_FLOW_PROGRAMS } from "../support/traffic/moving_flow.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  changeAddress,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
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

async function restore(namespace: TestNamespace): Promise<void> {
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
      timeUntil(clientProcess, /no packets from \S+: reconnecting/),
      timeUntil(serverProcess, /peer laptop: down/),
      timeUntil(serverProcess, /peer laptop: released/),
    ]);
    for (const time of [byClient, byServer, released]) {
      assert(time > 3_000, `after ${byClient}, ${byServer}, ${released}`);
    }
    await restore(client);
    await clientProcess.waitFor(/reconnected to 192\.0\.2\.1:51820/);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    await serverProcess.waitFor(/peer laptop: released[^]*peer laptop: up/);
  },
  { programs: [...PROGRAMS, "nft"] },
);

netTest(
  "client learns of the server's end at once, and is back when it returns",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const first = await startVpn("server", server, serverConfig());
    const clientProcess = await startVpn("client", client, clientConfig());
    first.signal("SIGTERM");
    // By its silence, it would take the client over four seconds.
    await clientProcess.waitFor(/no packets from \S+: reconnecting/);
    // The tunnel and its routes stay, so that nothing leaks.
    assertMatch(await client.output(["ip", "route", "get", SERVER_INSIDE]), /dev vpn0/);
    await startVpn("server", server, serverConfig());
    await clientProcess.waitFor(/reconnected/);
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
      clientConfig({ OnPeerTimeout: "exit", PeerTimeout: 3, ListenPort: CLIENT_PORT }),
    );
    await heartbeatsAnswered(client);
    serverProcess.signal("SIGKILL");
    await serverProcess.status;
    const junk = setInterval(() => sendJunk(server, CLIENT_OUTSIDE, CLIENT_PORT), 500);
    const { code } = await clientProcess.status.finally(() => clearInterval(junk));
    assertEquals(code, 4, clientProcess.stderr);
    assertMatch(
      clientProcess.stderr,
      /vpn: Connection lost: no packet from 192\.0\.2\.1:51820 for 3 s/,
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
