/** Thousand clients: what a server does with them: the handshakes it answers, the memory it takes. */
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { type Identity, newIdentity, type Section } from "../../net/support/config.ts";
import {
  CLIENT_OUTSIDE,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
  type Wire,
} from "../../net/support/wire.ts";
import { WireguardGo } from "../../net/support/programs/wireguard_go.ts";
import type { BackgroundProcess } from "../../support/net.ts";
import { type Program, startVpn } from "../contenders/vpn.ts";
import { IDENTITIES, serverConfigWith } from "../contenders/wireguard_config.ts";
import { ContenderName } from "../figures.ts";
import { HandshakeLoad } from "../load/handshake_load.ts";
import { OUTSIDE_NETWORK, peerAddress } from "../load/peer_address.ts";
import type { Samples } from "../samples.ts";
import { residentMemory } from "./process_stats.ts";

const CLIENTS = 1000;
const MB = 1e6;

export interface ThousandClientsOptions {
  readonly program: Program;
  readonly rounds: number;
  readonly seconds: number;
  readonly samples: Samples;
  /** Whether wireguard-go has its turns too. */
  readonly withWireguardGo: boolean;
}

/** Fills the figures `handshakes`, `handshakes-one-address`, `memory-1000` and `memory-1000-loaded`. */
export async function measureThousandClients(
  wire: Wire,
  options: ThousandClientsOptions,
): Promise<void> {
  await routeClients(wire);
  const clients = Array.from({ length: CLIENTS }, newIdentity);
  // Enough for some 3,500 a second, and a turn for the cookies.
  const depth = 1 + Math.ceil(options.seconds * 3.5);
  using load = await HandshakeLoad.prepare({
    namespace: wire.client.name,
    server: IDENTITIES.server,
    address: parseIpv4(SERVER_OUTSIDE)!,
    port: SERVER_PORT,
    clients,
    depth,
  });
  for (let round = 0; round < options.rounds; round++) {
    await measureOurs(wire, { ...options, clients, load });
    if (options.withWireguardGo) await measureWireguardGo(wire, { ...options, clients, load });
  }
  await measureOneAddress(wire, { ...options, clients, load });
}

interface Turn extends ThousandClientsOptions {
  readonly clients: readonly Identity[];
  readonly load: HandshakeLoad;
}

/** Every address of the clients' network is the client's own, and the server knows the way there. */
async function routeClients({ client, server }: Wire): Promise<void> {
  await client.output(["ip", "route", "add", "local", OUTSIDE_NETWORK, "dev", "lo"]);
  await server.output(["ip", "route", "add", OUTSIDE_NETWORK, "via", CLIENT_OUTSIDE]);
}

async function measureOurs(wire: Wire, turn: Turn): Promise<void> {
  const config = serverConfigWith({ isOurs: true }, peersOf(turn.clients));
  await using server = await startVpn("server", wire.server, { program: turn.program, config });
  await measureServer(server, ContenderName.vpn, turn);
}

async function measureWireguardGo(wire: Wire, turn: Turn): Promise<void> {
  const config = serverConfigWith({ isOurs: false }, peersOf(turn.clients));
  const server = await WireguardGo.start(wire.server, config, [`${SERVER_INSIDE}/24`]);
  try {
    await measureServer(server.process, ContenderName.wireguardGo, turn);
  } finally {
    await server.process.stop();
  }
}

async function measureServer(
  server: BackgroundProcess,
  contender: string,
  { load, samples, seconds }: Turn,
): Promise<void> {
  samples.add("memory-1000", contender, residentMemory(server.pid) / MB);
  const result = await load.run({ seconds, oneAddress: false });
  samples.add("handshakes", contender, result.responses / result.seconds);
  samples.add("memory-1000-loaded", contender, residentMemory(server.pid) / MB);
}

async function measureOneAddress(wire: Wire, turn: Turn): Promise<void> {
  const config = serverConfigWith({ isOurs: true }, peersOf(turn.clients));
  await using _server = await startVpn("server", wire.server, { program: turn.program, config });
  const result = await turn.load.run({ seconds: turn.seconds, oneAddress: true });
  turn.samples.add(
    "handshakes-one-address",
    ContenderName.vpn,
    result.responses / result.seconds,
  );
}

function peersOf(clients: readonly Identity[]): Section[] {
  return clients.map(({ publicKey }, index) => ({
    PublicKey: publicKey,
    AllowedIPs: `${peerAddress(index)}/32`,
  }));
}
