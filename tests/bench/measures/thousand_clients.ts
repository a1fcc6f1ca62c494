/** Thousand clients: what a server does with them: the handshakes it answers, the memory it takes. */
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { type Identity, newIdentity, type Section } from "../../net/support/config.ts";
import { CLIENT_OUTSIDE, SERVER_OUTSIDE, SERVER_PORT, type Wire } from "../../net/support/wire.ts";
import type { Contender } from "../contenders/contender.ts";
import { IDENTITIES } from "../contenders/wireguard_config.ts";
import { ContenderName } from "../figures.ts";
import { HandshakeLoad } from "../load/handshake_load.ts";
import { OUTSIDE_NETWORK, peerAddress } from "../load/peer_address.ts";
import type { Samples } from "../samples.ts";
import { memoryAtRest, residentMemory } from "./process_stats.ts";

const CLIENTS = 1000;
const MB = 1e6;

export interface ThousandClientsOptions {
  /** Those that can start a server alone. */
  readonly contenders: readonly Contender[];
  readonly rounds: number;
  readonly seconds: number;
  readonly samples: Samples;
}

/** Fills the figures `handshakes`, `handshakes-one-address`, `memory-1000` and `memory-1000-loaded`. */
export async function measureThousandClients(
  wire: Wire,
  { contenders, rounds, seconds, samples }: ThousandClientsOptions,
): Promise<void> {
  await routeClients(wire);
  const clients = Array.from({ length: CLIENTS }, newIdentity);
  const peers = peersOf(clients);
  // Enough for some 3,500 a second, and a turn for the cookies.
  const depth = 1 + Math.ceil(seconds * 3.5);
  using load = await HandshakeLoad.prepare({
    namespace: wire.client.name,
    server: IDENTITIES.server,
    address: parseIpv4(SERVER_OUTSIDE)!,
    port: SERVER_PORT,
    clients,
    depth,
  });
  for (let round = 0; round < rounds; round++) {
    for (const { name, startServer } of contenders) {
      await using server = await startServer!(wire, peers);
      samples.add("memory-1000", name, await memoryAtRest(server.pid) / MB);
      const result = await load.run({ seconds, oneAddress: false });
      samples.add("handshakes", name, result.responses / result.seconds);
      samples.add("memory-1000-loaded", name, residentMemory(server.pid) / MB);
    }
  }
  for (const { name, startServer } of contenders.filter((it) => it.name === ContenderName.vpn)) {
    await using _server = await startServer!(wire, peers);
    const result = await load.run({ seconds, oneAddress: true });
    samples.add("handshakes-one-address", name, result.responses / result.seconds);
  }
}

/** Every address of the clients' network is the client's own, and the server knows the way there. */
export async function routeClients({ client, server }: Wire): Promise<void> {
  await client.output(["ip", "route", "replace", "local", OUTSIDE_NETWORK, "dev", "lo"]);
  await server.output(["ip", "route", "replace", OUTSIDE_NETWORK, "via", CLIENT_OUTSIDE]);
}

/** The sections of these clients, each with an address of its own. */
export function peersOf(clients: readonly Identity[]): Section[] {
  return clients.map(({ publicKey }, index) => ({
    PublicKey: publicKey,
    AllowedIPs: `${peerAddress(index)}/32`,
  }));
}
