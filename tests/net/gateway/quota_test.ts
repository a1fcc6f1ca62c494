/** `Quota`: a peer is held to it over a crash of the gateway, is let go on by a greater one, and `vpn usage` knows. */
import type { PeerStatus } from "../../../lib/control/status.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { type BackgroundProcess, netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity, temporaryFile } from "../support/config.ts";
import { statusOf } from "../support/programs/instance.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { ping, tcpFlow } from "../support/traffic/traffic.ts";
import {
  CLIENT_INSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
} from "../support/wire.ts";

const QUOTA = 5e6;
/** Bytes by which a quota may be wrong: 1 %. */
const TOLERANCE = QUOTA / 100;
/** Bytes that are sent before the gateway is killed. */
const FLOW = 480_000;

netTest(
  "a quota holds over a gateway that is killed, exact to 1 %, and ends with a greater one",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const [gateway, laptop] = [newIdentity(), newIdentity()];
    // While it is there, a gateway that starts takes clients in, and keeps no accounts yet.
    const hold = `${temporaryFolder()}/hold`;
    using file = temporaryFile(configText(
      {
        PrivateKey: gateway.privateKey,
        ListenPort: SERVER_PORT,
        Address: `${SERVER_INSIDE}/24`,
        PreUp: `while [ -e ${hold} ]; do sleep 0.1; done`,
      },
      {
        Name: "laptop",
        PublicKey: laptop.publicKey,
        AllowedIPs: `${CLIENT_INSIDE}/32`,
        Quota: "5M/total",
      },
    ));
    const spawn = () => server.spawn(vpnCommand("server", "--config", file.path));
    const first = spawn();
    await first.waitFor(/listening on UDP port/);
    const other = await startVpn(
      "client",
      client,
      configText({ PrivateKey: laptop.privateKey, Address: `${CLIENT_INSIDE}/24` }, {
        PublicKey: gateway.publicKey,
        Endpoint: SERVER_ENDPOINT,
        AllowedIPs: "10.66.77.0/24",
      }),
    );
    // What the last 50 ms brought is not in the file yet: at this rate, 8 kB.
    await tcpFlow(client, server, SERVER_INSIDE, { bytes: FLOW, bitsPerSecond: 1_280_000 });
    // What the other end has counted, by which this one is judged; it looks once a second.
    const { received, sent } = await eventually(async () => {
      const peer = await peerOf(other);
      return peer.sent > FLOW ? peer : null;
    });
    first.signal("SIGKILL");
    await first.status;
    const [used] = JSON.parse(await server.output(vpnCommand("usage", "--json")));
    assertEquals(used.name, "laptop");
    const kept = used.received + used.sent;
    assert(Math.abs(kept - received - sent) < TOLERANCE, `${kept} of ${received + sent}`);

    Deno.writeTextFileSync(hold, "");
    const second = spawn();
    await other.waitFor(/handshake completed[^]*handshake completed/);
    Deno.removeSync(hold.slice(0, -"/hold".length), { recursive: true });
    await second.waitFor(/listening on UDP port/);
    assert((await peerOf(second)).quota!.used >= kept);
    await eventually(async () => (await ping(client, SERVER_INSIDE, { wait: 1 })).received > 0);
    await client.run([
      ...["ping", "-n", "-q", "-s", "1400", "-c", "2000", "-i", "0.002", "-W", "1", SERVER_INSIDE],
    ]);
    await second.waitFor(/peer laptop: quota reached/);
    assertEquals((await peerOf(second)).quota!.used, QUOTA);
    assert((await statusOf(second)).drops["quota_reached"]! > 0);
    assertEquals((await ping(client, SERVER_INSIDE, { wait: 1 })).received, 0);

    const events = JSON.parse(await server.output(vpnCommand("events", "--json")));
    assertEquals(
      events.map(({ event, name }: { event: string; name: string }) => `${event} ${name}`),
      ["connected laptop", "connected laptop", "quota-reached laptop"],
    );

    // By the interface alone: the gateway says where its file is, and which clients it has.
    const set = vpnCommand("peer", "set", "laptop", "Quota", "1G/month", "--interface", "vpn0");
    assertMatch(await server.output(set), /The running gateway on vpn0 has applied it/);
    assertMatch(Deno.readTextFileSync(file.path), /^Quota = 1G\/month$/m);
    assertMatch(
      await server.output(vpnCommand("peer", "list", "--interface", "vpn0")),
      /^Clients that the gateway on vpn0 has by now, from \/.*:\nNAME .*\nlaptop .* 1G\/month /,
    );
    await eventually(async () => (await ping(client, SERVER_INSIDE, { wait: 1 })).received > 0);
  },
  { programs: ["iperf3", "ping"] },
);

async function peerOf(process: BackgroundProcess): Promise<PeerStatus> {
  return (await statusOf(process)).peers[0]!;
}
