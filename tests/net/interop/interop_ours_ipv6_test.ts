/** Our server with our client, over each family, with both families inside. */
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { configText, newIdentity } from "../support/config.ts";
import { hostState } from "../support/host_state.ts";
import { endWell } from "../support/simple_tunnel.ts";
import { ping, tcpFlow } from "../support/traffic/traffic.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CLIENT_INSIDE,
  layWireOf,
  OUTERS,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
} from "../support/wire.ts";

const SERVER_INSIDE6 = "fd00:77::1";
const CLIENT_INSIDE6 = "fd00:77::2";
/** Each end's address, by the family inside. */
const INSIDE = [
  { server: SERVER_INSIDE, client: CLIENT_INSIDE },
  { server: SERVER_INSIDE6, client: CLIENT_INSIDE6 },
];

for (const outer of OUTERS) {
  netTest(
    `server and client carry both families over ${outer.family}, and leave the hosts as they were`,
    async (topology) => {
      const wire = await layWireOf(topology, outer);
      const [serverIdentity, clientIdentity] = [newIdentity(), newIdentity()];
      const before = [await hostState(wire.server), await hostState(wire.client)];
      const server = await startVpn(
        "server",
        wire.server,
        configText({
          PrivateKey: serverIdentity.privateKey,
          ListenPort: SERVER_PORT,
          Address: `${SERVER_INSIDE}/24, ${SERVER_INSIDE6}/64`,
          Egress: "off",
        }, {
          PublicKey: clientIdentity.publicKey,
          AllowedIPs: `${CLIENT_INSIDE}/32, ${CLIENT_INSIDE6}/128`,
        }),
      );
      const client = await startVpn(
        "client",
        wire.client,
        configText({
          PrivateKey: clientIdentity.privateKey,
          Address: `${CLIENT_INSIDE}/24, ${CLIENT_INSIDE6}/64`,
        }, {
          PublicKey: serverIdentity.publicKey,
          Endpoint: outer.endpoint,
          AllowedIPs: `${SUBNET}, fd00:77::/64`,
        }),
      );
      for (const inside of INSIDE) {
        assertEquals((await ping(wire.client, inside.server)).received, 3);
        assertEquals((await ping(wire.server, inside.client)).received, 3);
        const large = ["ping", "-n", "-c", "2", "-i", "0.2", "-s", "5000", inside.server];
        const { stdout } = await wire.client.run(large);
        assert(stdout.includes("2 received"), stdout);
        for (const reverse of [false, true]) {
          const options = { reverse, bytes: 10e6 };
          const flow = await tcpFlow(wire.client, wire.server, inside.server, options);
          assert(flow.receivedBytes > 5e6, `reverse=${reverse}: ${flow.receivedBytes} bytes`);
        }
      }
      for (const process of [client, server]) {
        assert(!process.stderr.includes("dropped packet"), process.stderr);
        await endWell(process);
      }
      assertEquals([await hostState(wire.server), await hostState(wire.client)], before);
    },
    { programs: ["ip", "ping", "iperf3", "sysctl"] },
  );
}
