/**
 * ECN across a tunnel, by both transports: outside stands what the packets inside have, and a router's mark gets
 * inside.
 */
import { assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { record, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { CABLE, layWire, SERVER_INSIDE, SERVER_PORT } from "../support/wire.ts";

const MARKING = `
  table ip router {
    chain arrive {
      type filter hook prerouting priority -400;
      udp dport ${SERVER_PORT} ip ecn ect0 ip ecn set ce
    }
  }`;
const ECT0 = 2;
const CE = 3;

for (const [Transport, protocol] of [["udp", "udp"], ["faketcp", "tcp"]] as const) {
  netTest(`packets of a tunnel by ${Transport} carry ECN, and no DSCP`, async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server({ Transport }));
    await startVpn("client", client, tunnel.client({ Transport }));
    await server.output(["nft", "-f", "-"], { stdin: MARKING });
    await using outside = await record(server, CABLE, `${protocol} port ${SERVER_PORT}`, {
      immediate: true,
    });
    await using inside = await record(server, "vpn0", "icmp", { immediate: true });
    // DSCP 46, EF, and ECT(0).
    await client.output(["ping", "-c", "3", "-Q", `${0xb8 | ECT0}`, SERVER_INSIDE]);
    await outside.stop();
    await inside.stop();
    const toServer = `dst port ${SERVER_PORT} and ip[1]`;
    assertEquals(await outside.count(`${toServer} = ${ECT0}`), 3);
    assertEquals(await outside.count(`${toServer} & 0xfc != 0`), 0);
    // What tcpdump sees outside comes before the mark, and so does what is captured of fake TCP.
    const ecn = Transport === "udp" ? CE : ECT0;
    assertEquals(await inside.count(`icmp[0] = 8 and ip[1] = ${0xb8 | ecn}`), 3);
  }, { programs: ["ip", "ping", "nft", ...RECORDING_PROGRAMS] });
}
