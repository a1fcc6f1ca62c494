/** Live peer changes: gateways that run with a key are told of a change of a file's peers. */
import type { LiveGateway } from "../../control/application/peer_application.ts";
import type { Instance } from "../../control/instances.ts";
import { addLivePeer, gatewaysOf, removeLivePeer } from "../../control/peers.ts";
import type { Config } from "../../core/config/config.ts";
import { decodeKey } from "../../core/config/values/key_text.ts";
import type { PeerSettings } from "../../core/peers/peer_settings.ts";
import type { StoreOutcome, StoreTable } from "../../core/peers/peer_store.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";

/** A peer as it was and as it shall be; null where it is not there. */
interface ToldPeer {
  readonly key: string;
  readonly before: PeerSettings | null;
  readonly after: PeerSettings | null;
}

/** All of them apply a change, or none. */
export class ToldGateways implements LiveGateway {
  readonly #server: Config;
  readonly #gateways: readonly Instance[];
  appliedOn: readonly string[] = [];

  constructor(server: Config, gateways: readonly Instance[]) {
    this.#server = server;
    this.#gateways = gateways;
  }

  peers(): ReturnType<LiveGateway["peers"]> {
    return new Map();
  }

  /** @throws {AppError} where one that runs does not apply it: then what others had applied is taken back */
  async apply({ before, after }: StoreOutcome): Promise<void> {
    const gateways = this.#gateways;
    const names = (found: readonly Instance[]) => found.map(({ interfaceName }) => interfaceName);
    const peers = toldPeers(before, after);
    const refusal = (await Promise.allSettled(gateways.map((each) => tellAll(each, peers))))
      .find((outcome) => outcome.status === "rejected");
    if (refusal === undefined) {
      this.appliedOn = names(gateways);
      if (gateways.length > 0 && isOther(before.groups, after.groups)) {
        const warning =
          "rules of groups are others now, in the file alone: `vpn reload` applies them";
        writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
      }
      return;
    }
    // One that did not answer may have applied it all the same.
    const back = peers.map(({ key, before, after }) => ({ key, before: after, after: before }));
    const restored = await Promise.allSettled(gateways.map((each) => tellAll(each, back)));
    const unsure = gateways.filter((_, index) => restored[index]!.status === "rejected");
    const { reason } = refusal;
    const message = errorMessage(reason);
    throw new AppError(
      `Cannot make the change: the running gateway has not applied it: ${message}: ` +
        (unsure.length === 0
          ? "nothing is changed"
          : `${this.#server.fileName} is not changed; restart ${
            names(unsure).join(", ")
          }, which may have applied it`),
      { exitCode: ExitCode.unexpected, cause: reason },
    );
  }
}

function isOther(before: StoreTable["groups"], after: StoreTable["groups"]): boolean {
  return JSON.stringify([...before]) !== JSON.stringify([...after]);
}

function toldPeers(before: StoreTable, after: StoreTable): ToldPeer[] {
  const keys = new Set([...before.peers.keys(), ...after.peers.keys()]);
  return Array.from(keys, (key): ToldPeer => ({
    key,
    before: before.peers.get(key) ?? null,
    after: after.peers.get(key) ?? null,
  })).filter((peer) => JSON.stringify(peer.before) !== JSON.stringify(peer.after));
}

/** Tells of all these peers, whatever is said of one of them; throws what was said first. */
async function tellAll(gateway: Instance, peers: readonly ToldPeer[]): Promise<void> {
  const problems: unknown[] = [];
  for (const { key, before, after } of peers) {
    const told = after === null
      ? removeLivePeer(gateway, decodeKey(key)!)
      : addLivePeer(gateway, { PublicKey: key, ...moved(before, after) });
    await told.catch((error) => problems.push(error));
  }
  if (problems.length > 0) throw problems[0];
}

/** Without an endpoint that is as it was, it stays where it is: one that has roamed is not where the file says. */
function moved(before: PeerSettings | null, after: PeerSettings): PeerSettings {
  if (before?.Endpoint !== after.Endpoint) return after;
  const { Endpoint: _endpoint, ...others } = after;
  return others;
}

/** Those that run from this file, so far as this user may know: else there is a warning. */
export async function visibleGateways({ interface: { publicKey } }: Config): Promise<Instance[]> {
  try {
    return await gatewaysOf(publicKey);
  } catch (error) {
    if (!(error instanceof AppError) || error.exitCode !== ExitCode.privilege) throw error;
    const warning = `cannot find out whether a running gateway needs this change: ${error.message}`;
    writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
    return [];
  }
}
