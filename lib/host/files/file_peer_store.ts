/**
 * File peer store: a gateway's configuration as the place where its peers are kept. What is not changed of it stays, to
 * the byte; a client's own file, where it is kept beside it, is renamed and removed with the client.
 */
import type { Config } from "../../core/config/config.ts";
import { isSame } from "../../core/config/config_change.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { configSteps } from "../../core/config/parse_config.ts";
import { successions } from "../../core/peers/key_succession.ts";
import {
  changedTable,
  type PeerStore,
  type StoreChange,
  type StoredPeers,
  type StoreOutcome,
} from "../../core/peers/peer_store.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { AppError } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import { nextTurn, paced } from "../../process/pace.ts";
import { hostNames } from "../dns/host_names.ts";
import { clientFileName, clientFilePath, clientFolderName } from "./client_files.ts";
import { loadSteps } from "./config_file.ts";
import { comparisonSteps, editSteps, snapshotSteps } from "./config_peers.ts";
import { ChangedMeanwhile, LockedConfig } from "./config_store.ts";

/** ms between looks at the file, which is replaced as often as written: nothing tells of that but its folder. */
const INTERVAL = 1_000;

export interface FilePeerStoreOptions {
  /** Is told what of a change that is made is left undone: a client's file that cannot be removed. */
  readonly onProblem: (message: string) => void;
  /** ms between looks, for those who watch. */
  readonly interval?: number;
}

export class FilePeerStore implements PeerStore {
  readonly path: string;
  readonly #options: FilePeerStoreOptions;

  constructor(path: string, options: FilePeerStoreOptions) {
    this.path = path;
    this.#options = options;
  }

  snapshot(): Promise<StoredPeers> {
    return refusing(async () => {
      const config = await paced(loadSteps(this.path, "leave"));
      return await paced(snapshotSteps(config));
    });
  }

  watch(onChange: (snapshot: StoredPeers) => void): Disposable {
    let last = this.#state();
    const look = guarded("control", "watching the configuration", async () => {
      const state = this.#state();
      if (state === last) return;
      last = state;
      // What is written by an editor may be half there: it is read again when it has changed again.
      const snapshot = await this.snapshot().catch(() => null);
      if (snapshot !== null) onChange(snapshot);
    });
    const timer = setInterval(look, this.#options.interval ?? INTERVAL);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** By which it is seen that the file is another. */
  #state(): string {
    try {
      const { ino, mtime, ctime, size } = Deno.statSync(this.path);
      return `${ino} ${mtime?.getTime()} ${ctime?.getTime()} ${size}`;
    } catch {
      return "";
    }
  }

  change(
    make: (before: StoredPeers) => readonly StoreChange[],
    accept: (outcome: StoreOutcome) => Promise<void> = () => Promise.resolve(),
  ): Promise<StoredPeers> {
    return refusing(async () => {
      using file = await LockedConfig.open(this.path);
      const { text, config } = await paced(file.readSteps());
      const before = await paced(snapshotSteps(config));
      await nextTurn();
      const changes = make(before);
      const outcome = { before, after: changedTable(before, changes) };
      await nextTurn();
      const edited = await paced(editSteps(text, outcome));
      // What is written can be read again, whatever the file was like.
      const server = await paced(configSteps(edited, this.path, { names: hostNames() }));
      const made = await paced(snapshotSteps(server));
      const isAsWanted = await paced(comparisonSteps(outcome.after, made, namedIn(changes)));
      requireAlone(config, server, isAsWanted);
      using moved = new DisposableStack();
      const renamed = this.#linkClientFiles(file, moved, outcome);
      await accept(outcome);
      // The lock goes with the file that is replaced: that comes last.
      if (edited !== text) file.replace(edited);
      moved.move();
      const replaced = new Set(successions(outcome).values());
      const gone = [...before.peers].filter(([key]) => !made.peers.has(key) && !replaced.has(key));
      for (const name of [...renamed, ...gone.flatMap(([, { Name }]) => Name ?? [])]) {
        this.#removeClientFile(file, name);
      }
      return made;
    });
  }

  #removeClientFile(file: LockedConfig, name: string): void {
    const path = clientFilePath(this.path, name);
    try {
      file.removeBeside(clientFolderName(this.path), clientFileName(name), path);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#options.onProblem(error.message);
    }
  }

  /**
   * A client's own file goes by its name: under both names until all is done.
   *
   * @returns the old names
   */
  #linkClientFiles(
    file: LockedConfig,
    moved: DisposableStack,
    { before, after }: StoreOutcome,
  ): string[] {
    const folder = clientFolderName(this.path);
    return Array.from(before.peers).flatMap(([key, { Name: from }]) => {
      const { Name: to } = after.peers.get(key) ?? {};
      if (from === undefined || to === undefined || from === to) return [];
      const names = { from: clientFileName(from), to: clientFileName(to) };
      const path = clientFilePath(this.path, to);
      if (!file.linkBeside(folder, names, path)) return [];
      moved.defer(() => {
        file.removeBeside(folder, names.to, path);
      });
      return [from];
    });
  }
}

function namedIn(changes: readonly StoreChange[]): ReadonlySet<string> {
  return new Set(changes.flatMap((change) => "publicKey" in change ? [change.publicKey] : []));
}

/** No edit may turn one section's line into another's. */
function requireAlone(before: Config, after: Config, isAsWanted: boolean): void {
  const { lines: _before, ...settings } = before.interface;
  const { lines: _after, ...others } = after.interface;
  if (isAsWanted && isSame(settings, others)) return;
  throw new RefusalError(
    "refused",
    "Cannot make the change: other parts of the file would change with it: edit the file itself, and run `vpn reload`",
  );
}

/** What goes wrong with the file, as a store says it. */
export async function refusing<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof ChangedMeanwhile) throw wrapped("revision", error);
    if (error instanceof AppError) throw wrapped("unavailable", error);
    if (error instanceof ConfigError) throw wrapped("invalid", error);
    throw error;
  }
}

function wrapped(code: RefusalError["code"], error: Error): RefusalError {
  return new RefusalError(code, error.message, { cause: error });
}
