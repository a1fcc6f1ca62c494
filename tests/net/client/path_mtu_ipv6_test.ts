/**
 * Paths over IPv6 that are narrower than either end knows. Routers divide nothing there: what is too long is lost until
 * the path is known, by the peer's answers or from the kernel, which divides it.
 */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { tooBig6 } from "../../support/packets/too_big.ts";
import {
  NARROW,
  NARROW_CLIENT_OUTSIDE6,
  NARROW_GATEWAY_OUTSIDE6,
  NARROW_PATH_PROGRAMS,
  NarrowPath,
} from "../support/narrow_path.ts";
import { Injector } from "../support/outside.ts";
import { statusOf } from "../support/programs/instance.ts";
import { WIREGUARD_GO_PROGRAMS } from "../support/programs/wireguard_go.ts";
import { record, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { transfer, TRANSFER_PROGRAMS } from "../support/traffic/transfer.ts";
import { CABLE, CLIENT_INSIDE, SERVER_INSIDE, SERVER_PORT } from "../support/wire.ts";

const PROGRAMS = [...NARROW_PATH_PROGRAMS, ...TRANSFER_PROGRAMS];
const LENGTH = 10 * 1024 * 1024;
/** 1,280 bytes less headers of IPv6, UDP and WireGuard. */
const NARROWED = /the path MTU inside the tunnel is 1200 bytes/;
const FRAGMENTS = "ip6[6] = 44";

async function sendBothWays({ client, gateway }: NarrowPath): Promise<void> {
  const send = async (from: TestNamespace, to: TestNamespace, address: string) => {
    const { intact } = await transfer(from, to, { address, length: LENGTH });
    assert(intact, `what was sent to ${address} arrived otherwise`);
  };
  await send(client, gateway, SERVER_INSIDE);
  await send(gateway, client, CLIENT_INSIDE);
}

for (const silent of [false, true]) {
  netTest(
    `a path of 1,280 bytes over IPv6 carries files both ways, unfragmented once it is known${
      silent ? ", though its routers tell nobody" : ""
    }`,
    async (topology) => {
      const path = await NarrowPath.lay(topology, 1280);
      await path.useIpv6();
      if (silent) await path.silence();
      const gateway = await path.startGateway();
      const client = await path.startClient();
      await sendBothWays(path);
      await client.waitFor(NARROWED);
      await gateway.waitFor(NARROWED);
      await eventually(async () => {
        await using outside = await record(path.far, CABLE, "ip6");
        await sendBothWays(path);
        await outside.stop();
        return await outside.count(FRAGMENTS) === 0 || null;
      }, { what: "a round of files without fragments" });
      const link = await path.client.output(["ip", "link", "show", "dev", "vpn0"]);
      assertEquals(/ mtu (\d+) /.exec(link)?.[1], "1200");
    },
    { programs: [...PROGRAMS, ...RECORDING_PROGRAMS] },
  );
}

netTest(
  "a path of 1,280 bytes over IPv6 carries files both ways with wireguard-go for a gateway",
  async (topology) => {
    const path = await NarrowPath.lay(topology, 1280);
    await path.useIpv6();
    await path.startOtherGateway();
    await path.startClient();
    await sendBothWays(path);
  },
  { programs: [...PROGRAMS, ...WIREGUARD_GO_PROGRAMS] },
);

netTest(
  "a path over IPv6 whose length is none of the common ones is found by what its router says",
  async (topology) => {
    const path = await NarrowPath.lay(topology, 1333);
    await path.useIpv6();
    const gateway = await path.startGateway();
    const client = await path.startClient();
    const exact = /the path MTU inside the tunnel is 1253 bytes/;
    await client.waitFor(exact);
    await gateway.waitFor(exact);

    // What may be divided is, inside: outside nobody would.
    for (
      const [from, to] of [[path.gateway, CLIENT_INSIDE], [path.client, SERVER_INSIDE]] as const
    ) {
      const ping = ["ping", "-n", "-c", "1", "-W", "20", "-M", "dont", "-s", "1380", to];
      assertMatch((await from.run(ping)).stdout, /1 received/);
    }

    // A forger who knows addresses and ports, but no index, has neither the tunnel nor the kernel believe anything:
    // that would divide all that is longer than 1,280 bytes.
    const { endpoint } = (await statusOf(gateway)).peers[0]!;
    const port = Number(/:(\d+)$/.exec(`${endpoint}`)![1]);
    const ends = [
      {
        end: path.gateway,
        from: NARROW_GATEWAY_OUTSIDE6,
        to: NARROW_CLIENT_OUTSIDE6,
        ports: [SERVER_PORT, port],
        device: CABLE,
      },
      {
        end: path.client,
        from: NARROW_CLIENT_OUTSIDE6,
        to: NARROW_GATEWAY_OUTSIDE6,
        ports: [port, SERVER_PORT],
        device: NARROW,
      },
    ] as const;
    for (const { end, from, to, ports, device } of ends) {
      using forger = new Injector(path.far, { isIpv6: true, device });
      assertEquals(forger.send(tooBig6(from, to, ports)), 1);
      // It has come where an answer comes to what was sent after it.
      await path.far.output(["ping", "-6", "-c", "1", "-W", "60", from]);
      const route = await end.output(["ip", "-6", "route", "get", to]);
      assert(!/ mtu 1280 /.test(route), route);
    }
  },
  { programs: [...NARROW_PATH_PROGRAMS, "ping"] },
);

netTest(
  "a path over IPv6 that becomes narrow in mid-session carries files on with wireguard-go for a gateway",
  async (topology) => {
    const path = await NarrowPath.lay(topology, 1500);
    await path.useIpv6();
    await path.startOtherGateway();
    const client = await path.startClient();
    await sendBothWays(path);
    await path.setMtu(1280);
    await sendBothWays(path);
    await client.waitFor(NARROWED);
  },
  { programs: [...PROGRAMS, ...WIREGUARD_GO_PROGRAMS] },
);
