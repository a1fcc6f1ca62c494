/** Cookies: a server that is flooded with handshakes still lets in a client that shows where it is. */
import { assert, assertEquals } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity } from "../support/config.ts";
import { HandshakeFlood } from "../support/traffic/hostile.ts";
import { capture, messageFilter, ping } from "../support/traffic/traffic.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
  SUBNET,
  type Wire,
} from "../support/wire.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";

const PROGRAMS = ["ip", "ping", "tcpdump"];
const MESSAGE_COOKIE_REPLY = 3;

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();
const SERVER_PEER = {
  PublicKey: serverIdentity.publicKey,
  Endpoint: SERVER_ENDPOINT,
  AllowedIPs: SUBNET,
};
const CLIENT_PEER = { PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` };
const SERVER_INTERFACE = { PrivateKey: serverIdentity.privateKey, ListenPort: SERVER_PORT };

/** Floods the server over a cable of its own, so that the client's address stays clean. */
function flood(topology: Topology, { server }: Wire, burst: number): HandshakeFlood {
  const attacker = topology.namespace("attacker");
  topology.cable(
    { namespace: attacker, name: CABLE, address: "198.51.100.2/24" },
    { namespace: server, name: "eth1", address: "198.51.100.1/24" },
  );
  return new HandshakeFlood(attacker, {
    publicKey: serverIdentity.publicKey,
    address: "198.51.100.1",
    port: SERVER_PORT,
    burst,
    interval: 50,
  });
}

function startOurServer({ server }: Wire): Promise<BackgroundProcess> {
  const config = configText({ ...SERVER_INTERFACE, Address: `${SERVER_INSIDE}/24` }, CLIENT_PEER);
  return startVpn("server", server, config);
}

function startOurClient({ client }: Wire): Promise<BackgroundProcess> {
  const config = configText(
    { PrivateKey: clientIdentity.privateKey, Address: `${CLIENT_INSIDE}/24` },
    SERVER_PEER,
  );
  return startVpn("client", client, config);
}

/** Counts the cookie replies to the client. */
function captureCookies({ client }: Wire) {
  const filter = `src host ${SERVER_OUTSIDE} and ${messageFilter(MESSAGE_COOKIE_REPLY)}`;
  return capture(client, CABLE, filter);
}

/**
 * Connects by a cookie. Where the flood has paused, as it does on a busy machine, a client is answered without one; it
 * begins again once the server asks for cookies.
 */
async function connectByCookie(wire: Wire, attack: HandshakeFlood): Promise<void> {
  await using cookies = await captureCookies(wire);
  await eventually(async () => {
    await attack.waitForCookie();
    const client = await startOurClient(wire);
    await assertReached(wire);
    if (cookies.count() > 0) return true;
    await client.stop();
    return null;
  }, { what: "a cookie for the client" });
}

/** Fails unless a ping comes back: a flooded machine may lose some. */
async function assertReached({ client }: Wire): Promise<void> {
  const { received } = await ping(client, SERVER_INSIDE, { count: 5, interval: 0.2 });
  assert(received > 0);
}

netTest("server lets wireguard-go in by a cookie when it is flooded", async (topology) => {
  const wire = await layWire(topology);
  await using cookies = await captureCookies(wire);
  await startOurServer(wire);
  await using attack = flood(topology, wire, 100);
  await attack.waitForCookie();
  const config = configText({ PrivateKey: clientIdentity.privateKey }, SERVER_PEER);
  const client = await WireguardGo.start(wire.client, config, [`${CLIENT_INSIDE}/24`]);
  // It repeats its initiation, now with the cookie, REKEY_TIMEOUT (5 s) after the first.
  const { received } = await ping(wire.client, SERVER_INSIDE, { count: 1, wait: 10 });
  assertEquals(received, 1);
  assert((await client.peer(serverIdentity.publicKey)).latestHandshake > 0);
  assert(cookies.count() >= 1);
}, { programs: [...WIREGUARD_GO_PROGRAMS, ...PROGRAMS] });

netTest("client connects by a cookie when our server is flooded", async (topology) => {
  const wire = await layWire(topology);
  await startOurServer(wire);
  await using attack = flood(topology, wire, 100);
  await connectByCookie(wire, attack);
}, { programs: PROGRAMS });

netTest("client connects by a cookie when wireguard-go is flooded", async (topology) => {
  const wire = await layWire(topology);
  const config = configText(SERVER_INTERFACE, CLIENT_PEER);
  await WireguardGo.start(wire.server, config, [`${SERVER_INSIDE}/24`]);
  // It asks for cookies once 128 handshakes wait in its queue.
  await using attack = flood(topology, wire, 600);
  await connectByCookie(wire, attack);
}, { programs: [...WIREGUARD_GO_PROGRAMS, ...PROGRAMS] });
