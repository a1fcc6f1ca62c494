/**
 * Fleet of one: what a gateway costs that has its peers in NATS and a virtual address, and is alone, beside one that
 * has neither. Both have the same peers, and are reached by the same address.
 */
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { type Identity, newIdentity, temporaryFile } from "../../net/support/config.ts";
import { CABLE, delay, SERVER_PORT, type Wire } from "../../net/support/wire.ts";
import { NatsServers } from "../../support/fleet/nats_servers.ts";
import { withFolder } from "../../support/folder.ts";
import type { BackgroundProcess, TestNamespace } from "../../support/net.ts";
import { type Program, startVpn } from "../contenders/vpn.ts";
import { IDENTITIES, serverConfigWith } from "../contenders/wireguard_config.ts";
import { FLEET_OF_ONE, GATEWAY_PEERS, SINGLE_GATEWAY } from "../figures.ts";
import { GatewayLoad } from "../load/gateway_load.ts";
import { HandshakeLoad } from "../load/handshake_load.ts";
import { PEERS_SERVER } from "../load/peer_address.ts";
import type { Samples } from "../samples.ts";
import { settle } from "./gateway.ts";
import { INTERNET, routeToInternet } from "./nat.ts";
import { runSince, runTimes } from "./process_stats.ts";
import { peersOf, routeClients } from "./thousand_clients.ts";

/** In the wire's network. */
const ADDRESS = "192.0.2.5";
const STORE = "nats://127.0.0.1:4222";
const PEERS = 1_000;
/** Runs of a start, and packets of one. */
const RUNS = 5;
const PACKETS = 1 << 16;
const WARM_UP_PACKETS = 1 << 15;
const HANDSHAKE_SECONDS = 2;
/** ms in which it has nothing to do. */
const REST_MS = 4_000;
const MB = 1e6;

export interface FleetOfOneOptions {
  readonly program: Program;
  readonly internet: TestNamespace;
  readonly rounds: number;
  readonly samples: Samples;
}

/** Starts one of the two; disposal ends it. */
type Start = () => Promise<BackgroundProcess>;

/** Fills the figures `fleet-of-one-*`. */
export async function measureFleetOfOne(wire: Wire, options: FleetOfOneOptions): Promise<void> {
  const { program, rounds } = options;
  const { server } = wire;
  await routeClients(wire);
  await using _route = await routeToInternet(wire);
  await withFolder(async (folder) => {
    const env = { STATE_DIRECTORY: folder };
    const common = { DataPlaneThreads: 1, Address: PEERS_SERVER };
    const extra = {
      ...common,
      PublicEndpoint: `${ADDRESS}:${SERVER_PORT}`,
      Store: STORE,
      VirtualAddress: `${ADDRESS}/24`,
    };
    const clients = Array.from({ length: PEERS }, newIdentity);
    const peers = peersOf(clients);
    await using _nats = await NatsServers.start({
      folder,
      count: 1,
      namespace: server.name,
      ports: [[4222, 6222]],
    });
    using file = temporaryFile(serverConfigWith({ isOurs: true, extra }, peers));
    await server.output([...program, "fleet", "import", "--config", file.path], { env });
    const single: Start = async () => {
      await server.output(["ip", "address", "replace", `${ADDRESS}/32`, "dev", CABLE]);
      const config = serverConfigWith({ isOurs: true, extra: common }, peers);
      return await startVpn("server", server, { program, config, env });
    };
    const fleet: Start = async () => {
      await server.output(["ip", "address", "delete", `${ADDRESS}/32`, "dev", CABLE]);
      const config = serverConfigWith({ isOurs: true, extra }, []);
      return await startVpn("server", server, { program, config, env });
    };
    for (let round = 0; round < rounds; round++) {
      await measureOnce(wire, options, { name: SINGLE_GATEWAY, start: single, clients });
      await measureOnce(wire, options, { name: FLEET_OF_ONE, start: fleet, clients });
    }
  });
}

async function measureOnce(
  { client }: Wire,
  { internet, samples }: FleetOfOneOptions,
  { name, start, clients }: {
    readonly name: string;
    readonly start: Start;
    readonly clients: readonly Identity[];
  },
): Promise<void> {
  await using server = await start();
  await settle(server.pid);
  const rested = runTimes(server.pid);
  await delay(REST_MS);
  samples.add("fleet-of-one-rest", name, runSince(server.pid, rested) * 1e6 / REST_MS);
  const place = {
    server: IDENTITIES.server,
    address: parseIpv4(ADDRESS)!,
    port: SERVER_PORT,
  };
  {
    using load = await GatewayLoad.prepare({
      ...place,
      clientNamespace: client.name,
      internetNamespace: internet.name,
      internet: INTERNET,
      clients: clients.slice(0, GATEWAY_PEERS),
      capacity: PACKETS,
    });
    await load.run("up", WARM_UP_PACKETS);
    await settle(server.pid);
    for (let run = 0; run < RUNS; run++) {
      const before = runTimes(server.pid);
      const { bytes } = await load.run("up", PACKETS);
      if (bytes === 0) throw new Error("Cannot measure the gateway: nothing comes through");
      samples.add("fleet-of-one-cpu", name, runSince(server.pid, before) * 1e3 / (bytes / MB));
    }
  }
  using storm = await HandshakeLoad.prepare({
    ...place,
    namespace: client.name,
    clients: clients.slice(GATEWAY_PEERS),
    depth: 1 + HANDSHAKE_SECONDS * 4,
  });
  await settle(server.pid);
  const before = runTimes(server.pid);
  const { responses } = await storm.run({ seconds: HANDSHAKE_SECONDS, oneAddress: false });
  if (responses === 0) throw new Error("Cannot measure the gateway: it answers no handshake");
  samples.add("fleet-of-one-handshake", name, runSince(server.pid, before) * 1e6 / responses);
}
