/**
 * Local socket: listens on a local stream socket; its file is in the journal, and the next process replaces it when
 * this one is killed; only root and the user that this process runs as may connect, and a group of users if one is
 * given.
 */
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { openLibc } from "../../ffi/libc.ts";
import { peerGroups, peerUser } from "../../ffi/sockets/unix_socket.ts";
import { FairShares } from "../core/limits/fair_shares.ts";
import type { Journal } from "../host/journal/journal.ts";
import { allJournals } from "../host/journal/journal_files.ts";
import { ListenerWatch } from "../host/network/listener_watch.ts";
import { guarded } from "../process/guard.ts";
import { isAlive } from "../process/process_identity.ts";
import { LocalConnection } from "./local_connection.ts";
import { isFreeForSocket, isThere, removeDeadSocket } from "../host/journal/socket_file.ts";

/** At once. In a full table, the user with the most loses its oldest that waits for nothing. */
const MAX_CONNECTIONS = 32;
const OWNER_ONLY = 0o600;
const OWNER_AND_GROUP = 0o660;

export interface LocalSocketOptions {
  readonly journal: Journal;
  /** The group that may connect as well; left out: none. Not everybody may give a file to a group: CAP_CHOWN. */
  readonly group?: number;
  /** Called with each connection whose other end may come in. */
  readonly onConnection: (connection: LocalConnection) => void;
}

export class LocalSocket implements AsyncDisposable {
  readonly path: string;
  readonly #onConnection: LocalSocketOptions["onConnection"];
  readonly #group: number | null;
  readonly #connections = new Set<LocalConnection>();
  readonly #shares = new FairShares<number, LocalConnection>({
    capacity: MAX_CONNECTIONS,
    evict: (connection) => connection.close(),
  });
  readonly #resources = new DisposableStack();
  #server: Server;
  #listenerWatch: ListenerWatch | null = null;

  private constructor(path: string, { onConnection, group }: LocalSocketOptions) {
    this.path = path;
    this.#onConnection = onConnection;
    this.#group = group ?? null;
    this.#server = this.#create();
  }

  /**
   * Listens on the first of these paths that no other process has; null where all are taken.
   *
   * @throws {Error} where the file cannot be made
   */
  static async listen(
    paths: readonly string[],
    options: LocalSocketOptions,
  ): Promise<LocalSocket | null> {
    const { journal } = options;
    const path = takePath(paths, journal);
    if (path === undefined) return null;
    const socket = new LocalSocket(path, options);
    const server = socket.#server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    socket.#watch();
    socket.#resources.use(journal.keep({
      // The kernel tells of it only those who watch the folder.
      isPolled: true,
      yieldsToPostUp: false,
      missing: () => isThere(path) ? [] : [`socket ${path}`],
      putBack: () => socket.#listenAgain(),
    }));
    return socket;
  }

  #create(): Server {
    const connect = guarded("control", "accepting a connection", (socket: Socket) => {
      this.#take(socket);
    });
    return createServer({ allowHalfOpen: true }, connect);
  }

  /** To be called when the file is there. */
  #watch(): void {
    this.#listenerWatch?.[Symbol.dispose]();
    this.#listenerWatch = new ListenerWatch(this.#server, () => this.#listenAgain());
    this.#server.on(
      "error",
      guarded("control", "listening for connections", (error) => {
        throw error;
      }),
    );
    if (this.#group !== null) Deno.chownSync(this.path, null, this.#group);
    Deno.chmodSync(this.path, this.#group === null ? OWNER_ONLY : OWNER_AND_GROUP);
  }

  /**
   * The file is gone, or the listener deaf, and nobody can connect any more: makes it again, with a socket of its own.
   * Connections go on.
   *
   * @throws {Error} where it cannot be made
   */
  #listenAgain(): void {
    // First, as it removes the file.
    this.#server.close();
    Deno.mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    this.#server = this.#create();
    // The file is there when this returns; were it not, the next line would say so.
    this.#server.listen(this.path);
    this.#watch();
  }

  #take(socket: Socket): void {
    // A connection that breaks is closed, which is all that there is to do about it.
    socket.on("error", guarded("control", "closing a connection", () => {}));
    const user = userOf(socket, this.#group);
    if (user === null) {
      socket.destroy();
      return;
    }
    const shares = this.#shares;
    const connection = new LocalConnection(socket, user);
    let place = shares.add(user, connection);
    if (place === null) {
      connection.close();
      return;
    }
    this.#connections.add(connection);
    connection.onBusy = (isBusy) => {
      if (isBusy) shares.prove(place!);
      else if (this.#connections.has(connection)) {
        // It is like a new one again; there is room, for it has just left its place.
        shares.remove(place!);
        place = shares.add(user, connection);
      }
    };
    connection.onClose(() => {
      this.#connections.delete(connection);
      shares.remove(place!);
    });
    this.#onConnection(connection);
  }

  /** Ends all connections and stops listening; the journal removes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#resources.dispose();
    this.#listenerWatch?.[Symbol.dispose]();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const connection of this.#connections) connection.close();
    await closed;
  }
}

/** Notes the first free path in the journal, so that no other instance takes it, and clears it. */
function takePath(paths: readonly string[], journal: Journal): string | undefined {
  return journal.exclusively(() => {
    const held = new Set(
      allJournals().filter(({ owner }) => isAlive(owner)).flatMap(({ changes }) =>
        changes.flatMap((change) => change.kind === "socket" ? [change.path] : [])
      ),
    );
    const path = paths.find((each) => !held.has(each) && isFreeForSocket(each));
    if (path === undefined) return undefined;
    journal.make({ kind: "socket", path, pid: Deno.pid });
    removeDeadSocket(path, Deno.pid);
    return path;
  });
}

/**
 * Whose the other end is: root's, our own user's or one's of the group; null for anybody else's. The file's mode says
 * so too, but a folder's rights can be another's doing, and who cannot be told stays out.
 */
function userOf(socket: Socket, group: number | null): number | null {
  // Node's sockets have their descriptor there, and nowhere in public.
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } };
  const fd = handle?.fd ?? -1;
  if (fd < 0) return null;
  const libc = openLibc();
  const user = peerUser(libc, fd);
  if (user === 0 || user === Deno.uid()) return user;
  return group !== null && peerGroups(libc, fd).includes(group) ? user : null;
}
