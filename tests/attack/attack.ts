/** Attack: what each one in this folder is, and the gateway with its guests that most of them need. */
import type { BackgroundProcess, Topology } from "../support/net.ts";
import type { Section } from "../net/support/config.ts";
import { GatewayNetwork } from "../net/support/gateway.ts";
import { Site } from "../net/support/site.ts";
import { CABLE, SERVER_PORT } from "../net/support/wire.ts";
import { RogueClient } from "./rogue_client.ts";

export interface Outcome {
  /** Whether the product held. */
  readonly held: boolean;
  /** What was measured, in a few words with units. */
  readonly figure: string;
}

export interface Attack {
  /** A short name for the command line. */
  readonly name: string;
  /** What the attacker does. */
  readonly title: string;
  /** Who attacks. */
  readonly attacker: "stranger" | "neighbour" | "client" | "host";
  /** Programs that it needs, looked up in PATH. */
  readonly programs?: readonly string[];
  /** ms after which it counts as failed, set-up and end included; left out, five minutes. */
  readonly timeLimitMs?: number;
  /** @param scale 1 for the full length, less for a quick run */
  run(topology: Topology, scale: number): Promise<Outcome>;
}

/** A gateway with its NAT, an honest client with our program, a hostile one, and a web site in the internet. */
export interface Scene {
  readonly network: GatewayNetwork;
  readonly server: BackgroundProcess;
  readonly honest: BackgroundProcess;
  readonly rogue: RogueClient;
}

export const SITE_PORT = 80;
export const SITE_ADDRESS = "203.0.113.9";

/** Starts a scene; the second client of the network is the hostile one. */
export async function setScene(
  topology: Topology,
  resources: AsyncDisposableStack,
  section: Section = {},
): Promise<Scene> {
  const network = await GatewayNetwork.lay(topology, { clients: 2 });
  resources.use(new Site(network.internet, SITE_PORT));
  const server = await network.start(section);
  const honest = await network.connect(network.clients[0]!);
  const { identity, namespace, endpoint } = network.clients[1]!;
  const rogue = resources.use(
    new RogueClient(namespace, {
      privateKey: identity.privateKey,
      gatewayKey: network.identity.publicKey,
      address: endpoint.split(":")[0]!,
      port: SERVER_PORT,
    }),
  );
  return { network, server, honest, rogue };
}

/** How many of so many fetches of the web site the honest client gets. */
export async function fetches({ network }: Scene, count: number): Promise<number> {
  let got = 0;
  for (let i = 0; i < count; i++) {
    const { stdout } = await network.clients[0]!.namespace.run([
      ...["curl", "-s", "--max-time", "5", `http://${SITE_ADDRESS}/`],
    ], { timeoutMs: 15_000 });
    if (stdout.startsWith("hello")) got++;
  }
  return got;
}

/** Whether a process has not ended. */
export function isRunning({ pid }: BackgroundProcess): boolean {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

/** What `vpn status --json` counts as dropped at the gateway, by reason; null where it does not answer. */
export async function drops(
  { network }: Scene,
  command: readonly string[],
): Promise<Readonly<Record<string, number>> | null> {
  const { code, stdout } = await network.gateway.run(command, { timeoutMs: 15_000 });
  if (code !== 0) return null;
  const all = JSON.parse(stdout) as { drops?: Record<string, number> }[];
  return all[0]?.drops ?? {};
}

export { CABLE };
