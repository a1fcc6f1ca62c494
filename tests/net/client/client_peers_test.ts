/** That a client with several peers reaches each by its networks, and is connected as long as its server is there. */
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity } from "../support/config.ts";
import { endWell } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CLIENT_INSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SUBNET,
} from "../support/wire.ts";

const LAB_PORT = 51821;
const LAB_INSIDE = "10.66.88.1";

netTest(
  "a client with two peers reaches both, and one that is not its server may go and come back",
  async (topology) => {
    const wire = await layWire(topology);
    const [client, office, lab] = [newIdentity(), newIdentity(), newIdentity()];
    const peer = { PublicKey: client.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` };
    const server = (own: typeof office, address: string, port: number) =>
      configText(
        {
          // As wg-quick's manual has it, for a key that no file holds.
          PostUp: `wg set %i private-key <(echo ${own.privateKey})`,
          ListenPort: port,
          Address: address,
          Egress: "off",
          Table: "off",
        },
        peer,
      );
    // Both would have a route to the client: it asks them in turn, and each answers by its own device.
    const routed = async (device: string) => {
      await wire.server.output(["ip", "route", "replace", `${CLIENT_INSIDE}/32`, "dev", device]);
    };
    const startLab = () =>
      startVpn(
        "server",
        wire.server,
        server(lab, `${LAB_INSIDE}/24`, LAB_PORT),
        "--interface",
        "lab",
      );
    await startVpn("server", wire.server, server(office, `${SERVER_INSIDE}/24`, 51820));
    const first = await startLab();
    const running = await startVpn(
      "client",
      wire.client,
      configText(
        { PrivateKey: client.privateKey, Address: `${CLIENT_INSIDE}/32` },
        {
          PublicKey: office.publicKey,
          Endpoint: SERVER_ENDPOINT,
          AllowedIPs: `${SUBNET}, 10.66.88.0/24`,
        },
        {
          Name: "lab",
          PublicKey: lab.publicKey,
          Endpoint: `${SERVER_OUTSIDE}:${LAB_PORT}`,
          AllowedIPs: "10.66.88.0/24",
        },
      ),
    );
    // The network that both have is the last one's.
    await running.waitFor(/no longer to the one on line/);
    await routed("vpn0");
    assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);
    const reachesLab = async () => (await ping(wire.client, LAB_INSIDE, { wait: 1 })).received > 0;
    await routed("lab");
    assert(await reachesLab());

    // It says goodbye: the client hears at once that it is gone.
    await endWell(first);
    await running.waitFor(/peer lab: down/);
    await routed("vpn0");
    assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);
    await startLab();
    await routed("lab");
    await eventually(async () => await reachesLab() || null, { what: "the peer that came back" });
    assert(!running.stderr.includes("reconnecting"), running.stderr);
    await endWell(running);
  },
  { programs: ["ip", "ping"] },
);
