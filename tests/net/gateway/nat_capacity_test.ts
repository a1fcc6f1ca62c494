/**
 * The NAT's capacity for real: one client opens more connections than it may hold ports, and neither it nor another is
 * refused.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { PATIENCE } from "../../support/time/patience.ts";
import { fetchText } from "../support/traffic/everyday.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INTERNET } from "../support/gateway.ts";
import { Site } from "../support/site.ts";
import { vpnCommand } from "../support/programs/vpn.ts";

const CONNECTOR = new URL("../../attack/connector.ts", import.meta.url).pathname;
/** Connections a second that are tried; what is counted is how many there were, however long they took. */
const RATE = 2_000;
const SECONDS = 3;
/** More than the 4,096 ports that a client may hold of a protocol. */
const WANTED = 5_000;
const MAX_ROUNDS = 5;

async function connections(client: TestNamespace): Promise<{ opened: number; failed: number }> {
  const stdout = await client.output([
    ...[Deno.execPath(), "run", "--quiet", "--allow-net", CONNECTOR],
    ...[INTERNET, `${RATE}`, `${SECONDS}`],
  ], { timeoutMs: 2 * PATIENCE });
  return JSON.parse(stdout);
}

interface GatewayStatus {
  readonly publicKey: string;
  readonly drops: Readonly<Record<string, number>>;
  readonly peers: readonly { readonly nat: { readonly ports: number; readonly refused: number } }[];
}

async function gatewayStatus({ gateway, identity }: GatewayNetwork): Promise<GatewayStatus> {
  const status: GatewayStatus[] = JSON.parse(
    await gateway.output(vpnCommand("status", "--json")),
  );
  // The clients are among them, and whatever else runs on this machine.
  return status.find(({ publicKey }) => publicKey === identity.publicKey)!;
}

netTest(
  "a client that opens thousands of connections is refused none, and another's go on",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    await using _site = new Site(network.internet, 80);
    await network.startBoth();
    const [client, other] = network.clients;
    const page = `http://${INTERNET}/pause/4000`;
    let opened = 0;
    for (let round = 0; opened < WANTED && round < MAX_ROUNDS; round++) {
      const held = fetchText(other!.namespace, page, 60);
      const result = await connections(client!.namespace);
      assertEquals(result.failed, 0, `of ${result.opened + result.failed} connections`);
      assertEquals(await held, "before after");
      opened += result.opened;
    }
    assert(opened >= WANTED, `only ${opened} connections in ${MAX_ROUNDS} rounds`);
    const { peers, drops } = await gatewayStatus(network);
    assertEquals([drops["nat_quota"], drops["nat_ports_exhausted"]], [undefined, undefined]);
    assertEquals(peers.map(({ nat }) => nat.refused), [0, 0]);
    const ports = peers.map(({ nat }) => nat.ports);
    assert(ports[0]! > 100 && ports[0]! <= 4_096 && ports[1]! < 100, `ports: ${ports}`);
  },
  { programs: [...GATEWAY_PROGRAMS, "curl"] },
);
