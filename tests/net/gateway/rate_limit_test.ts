/**
 * `RateLimit`: a peer's rate is bounded each way, whatever it runs, and nobody else's. That it is near its limit to a
 * few percent is shown on a fake clock (tests/behaviour/shaping): here the machine may be so busy that TCP reaches no
 * more than 0.8 of it.
 */
import { assert, assertEquals, fail } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { configText, newIdentity } from "../support/config.ts";
import {
  type Client,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
  UPLINK,
} from "../support/gateway.ts";
import { type FlowOptions, tcpFlow } from "../support/traffic/traffic.ts";
import { statusOf } from "../support/programs/instance.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CLIENT_INSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
} from "../support/wire.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";

const RATE = 20_000_000;
const SECONDS = 3;
/** Seconds by which the receiver may begin to count late, with all that has come meanwhile before it. */
const LATE = 0.5;

/** Bits a second of TCP from `client` to `address`, which is in `server`; the inner headers left out. */
async function rate(
  client: TestNamespace,
  server: TestNamespace,
  { address = SERVER_INSIDE, ...options }: FlowOptions & { readonly address?: string } = {},
): Promise<number> {
  const flow = await tcpFlow(client, server, address, { seconds: SECONDS, ...options });
  return flow.receivedBytes * 8 / SECONDS;
}

/**
 * How often a flow is run again that was too slow: the machine may be busy with other things, which makes none faster.
 */
const TRIES = 5;

/** Runs flows until each has its least rate; fails where one passes its greatest. */
async function assertRates(
  what: string,
  run: () => Promise<readonly number[]>,
  limits: readonly { readonly least: number; readonly greatest: number }[],
): Promise<void> {
  let bits: readonly number[] = [];
  for (let tries = 0; tries < TRIES; tries++) {
    bits = await run();
    for (const [index, { greatest }] of limits.entries()) {
      assert(bits[index]! < greatest, `${what}: ${bits[index]! / 1e6} Mbit/s`);
    }
    if (limits.every(({ least }, index) => bits[index]! > least)) return;
  }
  fail(`${what}: ${bits.map((each) => each / 1e6)} Mbit/s`);
}

const LIMITED = { least: 0.5 * RATE, greatest: 1.02 * RATE * (SECONDS + LATE) / SECONDS };
const UNLIMITED = { least: 2 * RATE, greatest: Infinity };

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
    `one TCP flow of ${label} and four come up to its limit each way, and not over it`,
    async (topology) => {
      const wire = await layWire(topology);
      const gateway = await startVpn("server", wire.server, serverConfig("20M"));
      await start(wire.client);
      for (const streams of [1, 4]) {
        for (const reverse of [false, true]) {
          await assertRates(
            `${streams} ${reverse ? "down" : "up"}`,
            async () => [await rate(wire.client, wire.server, { reverse, streams })],
            [LIMITED],
          );
        }
      }
      const { peers: [peer], drops } = await statusOf(gateway);
      assertEquals(peer!.rateLimit, RATE);
      assert(peer!.rateLimited > 0 && drops["rate_limited"] === peer!.rateLimited);
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
    const up = async () => [await rate(wire.client, wire.server)];
    await assertRates("limited", up, [LIMITED]);
    await limited.stop();
    await CLIENTS["our client"]!(wire.client);
    await assertRates("unlimited", up, [UNLIMITED]);
  },
  { programs: ["iperf3"] },
);

netTest(
  "one client's limit holds through the NAT, and is not felt by another at the same time",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    const [limited, free] = network.clients as [Client, Client];
    const config = configText(
      {
        PrivateKey: network.identity.privateKey,
        ListenPort: SERVER_PORT,
        Address: `${INSIDE}/24`,
        EgressInterface: UPLINK,
      },
      {
        PublicKey: limited.identity.publicKey,
        AllowedIPs: `${limited.inside}/32`,
        RateLimit: "20M",
      },
      { PublicKey: free.identity.publicKey, AllowedIPs: `${free.inside}/32` },
    );
    const gateway = await startVpn("server", network.gateway, config);
    for (const client of [limited, free]) await network.connect(client);
    for (const reverse of [false, true]) {
      const both = () =>
        Promise.all([
          rate(limited.namespace, network.internet, { address: INTERNET, reverse }),
          rate(free.namespace, network.gateway, { address: INSIDE, reverse }),
        ]);
      await assertRates(reverse ? "down" : "up", both, [LIMITED, UNLIMITED]);
    }
    const { peers } = await statusOf(gateway);
    const counts = new Map(peers.map(({ publicKey, rateLimited }) => [publicKey, rateLimited]));
    assert(counts.get(limited.identity.publicKey)! > 0);
    assertEquals(counts.get(free.identity.publicKey), 0);
  },
  { programs: ["iperf3", ...GATEWAY_PROGRAMS] },
);
