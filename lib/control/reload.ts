/**
 * Reload: has a tunnel that runs follow its configuration file after an edit, without touching what has not changed.
 *
 * What is compared with the file is what runs: peers that `vpn peer` or `wg set` changed meanwhile become what the file
 * says, as with `wg syncconf`. A file with a mistake, or with peers that cannot be, changes nothing. What cannot change
 * at run time stays as it was, is named each time, and counts from the next start.
 */
import type { Config, Endpoint, PeerConfig } from "../core/config/config.ts";
import {
  changedConfig,
  changedKeys,
  type ConfigChange,
  configChange,
  isSame,
  ofKeys,
} from "../core/config/config_change.ts";
import { ConfigError } from "../core/config/config_error.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import { currentKeys } from "../core/peers/key_succession.ts";
import { loadSteps, textSteps } from "../host/files/config_file.ts";
import type { LiveChange, LivePeer, LivePeers } from "./live_peers.ts";
import { RequestError } from "./protocol.ts";
import { errorMessage, ExitCode, exitCodeOf } from "../process/errors.ts";
import { background } from "../process/guard.ts";
import { paced } from "../process/pace.ts";
import type { Logger } from "../process/logging.ts";
import type { ServiceManager } from "../process/service_manager.ts";

/** What came of a reload. Plain data: it is the control socket's answer. */
export interface ReloadResult {
  /** The file that was read. */
  readonly file: string;
  /** What is in effect now that was not before, in words. */
  readonly changes: readonly string[];
  /** Keys that stay as they were, with their lines, as in `ListenPort (line 4)`. */
  readonly restart: readonly string[];
  /** What is wrong, a line each; with a mistake in the file nothing has changed. */
  readonly problems: readonly string[];
  readonly exitCode: number;
}

/** What a reload would do. */
export interface ReloadPreview {
  /** Keys of `[Interface]` whose change would be in effect. */
  readonly keys: readonly string[];
  /** As in `ReloadResult`, keys and peers together. */
  readonly changes: readonly string[];
  /** Keys that would stay as they are. */
  readonly restart: readonly string[];
  readonly warnings: readonly string[];
}

/** Something that a reload does, once the peers are as the file has them. */
export interface ReloadStep {
  /** The key of `[Interface]` that it is for; null for a peer's. */
  readonly key: string | null;
  readonly run: () => void | Promise<void>;
}

/** What a change comes to for one role. */
export interface ReloadPlan {
  /** The part of the change that comes into effect. */
  readonly change: ConfigChange;
  /** The keys that do not, besides those that never do while a tunnel runs. */
  readonly restart: readonly string[];
  /**
   * Where peers that have moved are, by their keys as text, where that is not as the file says; null: somebody else
   * sees to it.
   */
  readonly places: ReadonlyMap<string, Endpoint | null>;
  readonly steps: readonly ReloadStep[];
}

/** What a server and a client each know of reloading. */
export interface ReloadRole<Kind extends Config> {
  /** Keys of `[Interface]` that may change at run time. */
  readonly liveKeys: ReadonlySet<string>;
  /** Keys that are the other role's, and of no effect on this one. */
  readonly foreignKeys: readonly string[];
  /** @throws {ConfigError} */
  validate(config: Config): Kind;
  /**
   * Makes the plan, and all the checks that may fail; changes nothing.
   *
   * @throws {ConfigError | AppError}
   */
  plan(
    change: ConfigChange,
    configs: { readonly before: Kind; readonly after: Kind },
  ): Promise<ReloadPlan>;
}

export interface ReloaderOptions<Kind extends Config> {
  readonly path: string;
  readonly interfaceName: string;
  /** What runs. */
  readonly config: Kind;
  readonly role: ReloadRole<Kind>;
  readonly peers: Pick<LivePeers, "peers" | "groups" | "change">;
  readonly manager: Pick<ServiceManager, "reloading" | "reloaded">;
  readonly logger: Logger;
  /** Is told what came of each, as one text. */
  readonly onReload?: (summary: string) => void;
}

/** A file and what runs. */
interface Comparison<Kind extends Config> {
  readonly before: Kind;
  readonly after: Kind;
  /** Keys that cannot change at run time, and the rest of what is another. */
  readonly never: readonly string[];
  readonly live: ConfigChange;
}

export class Reloader<Kind extends Config> {
  readonly #options: ReloaderOptions<Kind>;
  #running: Kind;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ReloaderOptions<Kind>) {
    this.#options = options;
    this.#running = options.config;
  }

  /** What runs now. */
  get config(): Kind {
    return this.#running;
  }

  /**
   * Reads the file and follows it; one time after the other, whatever asks. Never rejects.
   *
   * @param by who asks for it, as a person reads it
   */
  reload(by = ""): Promise<ReloadResult> {
    const result = this.#last.then(() => this.#reload(by));
    this.#last = result;
    return result;
  }

  /**
   * What of the file, as it is by now, is not in effect: what a reload would change, and what waits for a restart. One
   * that is under way is waited for.
   *
   * @throws {ConfigError} for a file with a mistake
   */
  async pending(): Promise<Pick<ReloadPreview, "changes" | "restart">> {
    await this.#last;
    const { before, after, never, live } = await this.#compare();
    return { changes: described(live, isSame(before.groups, after.groups)), restart: never };
  }

  /**
   * What a reload would do if the file were this text.
   *
   * @throws {ConfigError | AppError} where it would be refused
   */
  async preview(text: string): Promise<ReloadPreview> {
    const { before, after, never, live } = await this.#compare(text);
    const { change, restart } = await this.#options.role.plan(live, { before, after });
    return {
      keys: changedKeys(change),
      changes: described(change, isSame(before.groups, after.groups)),
      restart: [...never, ...restart],
      warnings: after.warnings,
    };
  }

  async #reload(by: string): Promise<ReloadResult> {
    const { path, manager, logger } = this.#options;
    manager.reloading();
    try {
      const result = await this.#follow(by);
      tell(result, logger);
      this.#options.onReload?.(`${summaryOf(result)}${by === "" ? "" : `, by ${by}`}`);
      return result;
    } catch (error) {
      const message = errorMessage(error);
      logger.error("not reloaded, everything continues as before: {message}", { message });
      const exitCode = error instanceof RequestError ? ExitCode.usage : exitCodeOf(error);
      return { file: path, changes: [], restart: [], problems: [message], exitCode };
    } finally {
      manager.reloaded();
    }
  }

  /** What runs, and what the file, or the text that it may come to have, says. */
  async #compare(text?: string): Promise<Comparison<Kind>> {
    const { path, interfaceName, role, peers } = this.#options;
    // What could be run to be told keys that commands have set may need a person.
    const known = {
      privateKey: this.#running.interface.privateKey,
      presharedKeys: presharedKeys(peers.peers),
    };
    const keys = { interfaceName, known };
    const steps = text === undefined ? loadSteps(path, keys) : textSteps(path, text, keys);
    const read = await paced(steps);
    const isKnown = (key: string) => peers.peers.has(key);
    const after = role.validate({ ...read, peers: currentKeys(read.peers, Date.now(), isKnown) });
    const before = {
      ...this.#running,
      groups: peers.groups ?? this.#running.groups,
      peers: mergedPeers(this.#running, peers.peers),
    };
    const change = await paced(configChange(before, after));
    const whole = ofKeys(change, (key) => !role.foreignKeys.includes(key));
    if (isOfAnotherTunnel(whole, before)) {
      throw new ConfigError(
        `${path}: PrivateKey and all running peers differ: this is the file of another tunnel: stop this tunnel ` +
          "and start the other, or restore the file of this one",
      );
    }
    const never = changedKeys(whole).filter((key) => !role.liveKeys.has(key));
    const live = ofKeys(whole, (key) => role.liveKeys.has(key));
    return { before, after, never, live };
  }

  async #follow(by: string): Promise<ReloadResult> {
    const { path, role, peers, logger } = this.#options;
    const { before, after, never, live } = await this.#compare();
    const plan = await role.plan(live, { before, after });
    const told = new Set(this.#running.warnings);
    for (const warning of after.warnings) {
      if (!told.has(warning)) logger.warn("{warning}", { warning });
    }
    await peers.change(liveChanges(plan), { groups: after.groups, by });
    const problems: unknown[] = [];
    const failed = new Set<string>();
    for (const { key, run } of plan.steps) {
      try {
        await run();
      } catch (error) {
        problems.push(error);
        if (key !== null) failed.add(key);
      }
    }
    const made = ofKeys(plan.change, (key) => !failed.has(key));
    this.#running = role.validate({
      ...changedConfig<Config>(before, made),
      groups: after.groups,
      warnings: after.warnings,
      notes: after.notes,
    });
    const restart = [...never, ...plan.restart].map((key) => placed(key, { before, after }));
    const code = restart.length === 0 ? ExitCode.ok : ExitCode.usage;
    return {
      file: path,
      changes: described(made, isSame(before.groups, after.groups)),
      restart,
      problems: problems.map(errorMessage),
      exitCode: problems.length === 0 ? code : exitCodeOf(problems[0]),
    };
  }
}

/** What came of a reload, as one text for a person; without the problems. */
export function summaryOf({ changes, problems }: ReloadResult): string {
  if (changes.length > 0) return changes.join(", ");
  return problems.length > 0 ? "not reloaded" : "nothing to change";
}

/** What stays as it was, in one line with the remedy; null where nothing does. */
export function restartLine({ file, restart }: ReloadResult): string | null {
  if (restart.length === 0) return null;
  return `${file}: ${
    restart.join(", ")
  }: cannot change while the tunnel is running, and was not applied: ` +
    "restart the tunnel";
}

function tell(result: ReloadResult, logger: Logger): void {
  logger.info("reloaded {file}: {summary}", { file: result.file, summary: summaryOf(result) });
  const restart = restartLine(result);
  if (restart !== null) logger.warn("{restart}", { restart });
  for (const problem of result.problems) logger.error("{problem}", { problem });
}

/**
 * Whether nothing of a tunnel but its name stays, as where a client's file has taken the place of its gateway's: the
 * peers that run would be cut off for others that do not know this end's key.
 */
function isOfAnotherTunnel({ settings, removed }: ConfigChange, before: Config): boolean {
  return settings.privateKey !== undefined && removed.length > 0 &&
    removed.length === before.peers.length;
}

/** The peers that run, as a file would have them: where each is to be looked for, only the file knows. */
function mergedPeers(file: Config, live: ReadonlyMap<string, LivePeer>): readonly PeerConfig[] {
  const byKey = new Map(file.peers.map((peer) => [encodeKey(peer.publicKey), peer]));
  return Array.from(live, ([key, peer]) => {
    const known = byKey.get(key);
    const { endpoint = null, otherEndpoints = [], zonedEndpoint = null, line = 0 } = known ?? {};
    return { ...peer, endpoint, otherEndpoints, zonedEndpoint, line };
  });
}

/** The preshared keys of the peers that have one. */
function presharedKeys(live: ReadonlyMap<string, LivePeer>): ReadonlyMap<string, Uint8Array> {
  return new Map(
    Array.from(live).flatMap(([key, { presharedKey }]): [string, Uint8Array][] =>
      presharedKey === null ? [] : [[key, presharedKey]]
    ),
  );
}

/** In the order in which a network, or a name, is free before another peer gets it. */
function liveChanges({ change: { removed, put }, places }: ReloadPlan): readonly LiveChange[] {
  const placeOf = (peer: PeerConfig) => {
    const place = places.get(encodeKey(peer.publicKey));
    return place === undefined ? peer.endpoint : place;
  };
  return [
    ...removed.map((publicKey): LiveChange => ({ kind: "remove", publicKey })),
    // A peer that is to be looked for where it was stays where it has roamed to.
    ...put.map(({ peer, isMoved }): LiveChange => ({
      kind: "put",
      peer: { ...peer, endpoint: isMoved ? placeOf(peer) : null },
    })),
  ];
}

function described(change: ConfigChange, hasSameGroups: boolean): string[] {
  const added = change.put.filter(({ isNew }) => isNew).length;
  const count = (number: number, what: string) =>
    number === 0 ? [] : [`${number} ${number === 1 ? "peer" : "peers"} ${what}`];
  return [
    ...count(added, "added"),
    ...count(change.put.length - added, "changed"),
    ...count(change.removed.length, "removed"),
    ...changedKeys(change),
    ...hasSameGroups ? [] : ["groups"],
  ];
}

function placed(key: string, { before, after }: { before: Config; after: Config }): string {
  const line = after.interface.lines.get(key);
  if (line !== undefined) return `${key} (line ${line})`;
  return before.interface.lines.has(key) ? `${key} (removed)` : key;
}

/** Requests by SIGHUP: those that come before a tunnel is up are kept until then. */
export class ReloadRequests {
  #reloader: { reload(): Promise<unknown> } | null = null;
  #isAsked = false;

  /** Takes note of one. */
  notice(): void {
    if (this.#reloader === null) this.#isAsked = true;
    else background("control", "reloading the configuration", this.#reloader.reload());
  }

  /** Has this one do them from now on. */
  serveBy(reloader: { reload(): Promise<unknown> }): void {
    this.#reloader = reloader;
    if (this.#isAsked) this.notice();
    this.#isAsked = false;
  }
}
