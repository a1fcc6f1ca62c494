/** What a storm of handshakes does to a peer whose session stands: its pings before, and while 1,000 clients come. */
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { newIdentity } from "../../net/support/config.ts";
import {
  CLIENT_INSIDE,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
  type Wire,
} from "../../net/support/wire.ts";
import type { Contender } from "../contenders/contender.ts";
import { IDENTITIES } from "../contenders/wireguard_config.ts";
import { runStorms } from "../load/storm_load.ts";
import type { Samples } from "../samples.ts";
import { peersOf, routeClients } from "./thousand_clients.ts";

const CLIENTS = 1000;
const PERCENTILE = 0.99;

export interface StormOptions {
  /** Those that can start a server alone. */
  readonly contenders: readonly Contender[];
  readonly storms: number;
  readonly samples: Samples;
  /** Told what a reader must know. */
  readonly remark: (text: string) => void;
}

/** Fills the figures `storm-*`, once. */
export async function measureStorm(
  wire: Wire,
  { contenders, storms, samples, remark }: StormOptions,
): Promise<void> {
  await routeClients(wire);
  const clients = Array.from({ length: CLIENTS }, newIdentity);
  const peer = { PublicKey: IDENTITIES.client.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` };
  for (const { name, startServer } of contenders) {
    await using _server = await startServer!(wire, [peer, ...peersOf(clients)]);
    const { before, during, handshakes, lost, answered, durations } = await runStorms({
      namespace: wire.client.name,
      server: IDENTITIES.server,
      address: parseIpv4(SERVER_OUTSIDE)!,
      port: SERVER_PORT,
      clients,
      peer: IDENTITIES.client,
      from: CLIENT_INSIDE,
      to: SERVER_INSIDE,
      storms,
    });
    const [quiet, stormy] = [percentile(before), percentile(during)];
    samples.add("storm-before", name, quiet);
    samples.add("storm-during", name, stormy);
    samples.add("storm-rise", name, stormy - quiet);
    samples.add("storm-handshakes", name, percentile(handshakes));
    samples.add("storm-time", name, durations.reduce((sum, it) => sum + it, 0) / storms);
    const all = CLIENTS * storms;
    if (answered < all || lost > 0) {
      remark(`Storm, ${name}: ${answered} of ${all} clients answered, ${lost} pings lost.`);
    }
  }
}

function percentile(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * PERCENTILE) - 1]!;
}
