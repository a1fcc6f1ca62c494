/** `RateLimit`: a peer's rate is bounded each way, whatever it runs, and nobody else's. */
import { assert, assertEquals } from "../support/assert.ts";
import { netTest, type TestNamespace } from "../support/net.ts";
import { configText, newIdentity } from "./support/config.ts";
import { tcpFlow } from "./support/traffic.ts";
import { startVpn, vpnCommand } from "./support/vpn.ts";
import {
  CLIENT_INSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
} from "./support/wire.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "./support/wireguard_go.ts";

const RATE = 20_000_000;
const SECONDS = 3;
/** Seconds of the rate that may pass at once, before it. */
const BURST = 0.5;

/** Bits a second of one TCP flow, the inner headers left out. */
async function rate(
  client: TestNamespace,
  server: TestNamespace,
  reverse: boolean,
): Promise<number> {
  const { receivedBytes } = await tcpFlow(client, server, SERVER_INSIDE, {
    seconds: SECONDS,
    reverse,
  });
  return receivedBytes * 8 / SECONDS;
}

const server = newIdentity();
const client = newIdentity();

function serverConfig(rateLimit?: string): string {
  return configText(
    { PrivateKey: server.privateKey, ListenPort: SERVER_PORT, Address: `${SERVER_INSIDE}/24` },
    { PublicKey: client.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32`, RateLimit: rateLimit },
  );
}

const toServer = {
  PublicKey: server.publicKey,
  Endpoint: SERVER_ENDPOINT,
  AllowedIPs: "10.66.77.0/24",
};

const CLIENTS: Readonly<Record<string, (namespace: TestNamespace) => Promise<unknown>>> = {
  "our client": (namespace) =>
    startVpn(
      "client",
      namespace,
      configText({ PrivateKey: client.privateKey, Address: `${CLIENT_INSIDE}/24` }, toServer),
    ),
  "wireguard-go": (namespace) =>
    WireguardGo.start(
      namespace,
      configText({ PrivateKey: client.privateKey }, toServer),
      [`${CLIENT_INSIDE}/24`],
    ),
};

for (const [label, start] of Object.entries(CLIENTS)) {
  netTest(
    `a TCP flow of ${label} comes near its limit each way, and not over it`,
    async (topology) => {
      const wire = await layWire(topology);
      await startVpn("server", wire.server, serverConfig("20M"));
      await start(wire.client);
      for (const reverse of [false, true]) {
        const bits = await rate(wire.client, wire.server, reverse);
        assert(
          bits > 0.6 * RATE && bits < 1.02 * RATE * (SECONDS + BURST) / SECONDS,
          `${bits / 1e6} Mbit/s`,
        );
      }
      const status = JSON.parse(await wire.server.output(vpnCommand("status", "--json")));
      const [peer] = status[0].peers;
      assertEquals(peer.rateLimit, RATE);
      assert(peer.rateLimited > 0 && status[0].drops.rate_limited === peer.rateLimited);
    },
    { programs: ["iperf3", ...WIREGUARD_GO_PROGRAMS] },
  );
}

netTest(
  "without a limit the same flow is faster, and a client may have one of its own",
  async (topology) => {
    const wire = await layWire(topology);
    await startVpn("server", wire.server, serverConfig());
    const limited = await startVpn(
      "client",
      wire.client,
      configText({ PrivateKey: client.privateKey, Address: `${CLIENT_INSIDE}/24` }, {
        ...toServer,
        RateLimit: "20M",
      }),
    );
    const bits = await rate(wire.client, wire.server, false);
    assert(
      bits > 0.6 * RATE && bits < 1.02 * RATE * (SECONDS + BURST) / SECONDS,
      `${bits / 1e6} Mbit/s`,
    );
    await limited.stop();
    await CLIENTS["our client"]!(wire.client);
    assert(await rate(wire.client, wire.server, false) > 3 * RATE);
  },
  { programs: ["iperf3"] },
);
