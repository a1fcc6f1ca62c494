/**
 * Owns listening on a local stream socket: its file, which the journal notes and which the next process replaces when this
 * one is killed, and whom it lets in: root, and the user that this process runs as.
 */
import { createServer, type Server, type Socket } from "node:net";
import { openLibc } from "../../../ffi/libc.ts";
import { peerUser } from "../../../ffi/unix_socket.ts";
import type { Journal } from "../journal.ts";
import { allJournals } from "../journal_files.ts";
import { guarded } from "../guard.ts";
import { isAlive } from "../process_identity.ts";
import { isFreeForSocket, removeDeadSocket } from "./socket_file.ts";

/** At once; more are for nobody's good. */
const MAX_CONNECTIONS = 32;
const OWNER_ONLY = 0o600;

export interface LocalSocketOptions {
  readonly journal: Journal;
  /** Called with each connection whose other end may come in. */
  readonly onConnection: (socket: Socket) => void;
}

export class LocalSocket implements AsyncDisposable {
  readonly path: string;
  readonly #server: Server;
  readonly #connections: Set<Socket>;

  private constructor(path: string, server: Server, connections: Set<Socket>) {
    this.path = path;
    this.#server = server;
    this.#connections = connections;
  }

  /**
   * Listens on the first of these paths that no other process has; null where all are taken.
   *
   * @throws {Error} where the file cannot be made
   */
  static async listen(
    paths: readonly string[],
    { journal, onConnection }: LocalSocketOptions,
  ): Promise<LocalSocket | null> {
    const path = takePath(paths, journal);
    if (path === undefined) return null;
    const connections = new Set<Socket>();
    // What was asked before the other end closed its side is answered all the same.
    const connect = guarded("control", "taking a connection", (socket: Socket) => {
      // A connection that breaks is closed, which is all that there is to do about it.
      socket.on("error", guarded("control", "closing a connection", () => {}));
      if (!mayEnter(socket)) {
        socket.destroy();
        return;
      }
      connections.add(socket);
      const forget = guarded("control", "closing a connection", () => connections.delete(socket));
      socket.on("close", forget);
      onConnection(socket);
    });
    const server = createServer({ allowHalfOpen: true }, connect);
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    server.on(
      "error",
      guarded("control", "listening for connections", (error) => {
        throw error;
      }),
    );
    Deno.chmodSync(path, OWNER_ONLY);
    return new LocalSocket(path, server, connections);
  }

  /** Ends all connections and stops listening; the journal removes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#connections) socket.destroy();
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
 * Whether the other end is root's or our own user's. The file's mode says so too, but a folder's rights can be another's
 * doing, and who cannot be told stays out.
 */
function mayEnter(socket: Socket): boolean {
  // Node's sockets have their descriptor there, and nowhere in public.
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } };
  const fd = handle?.fd ?? -1;
  if (fd < 0) return false;
  const user = peerUser(openLibc(), fd);
  return user === 0 || user === Deno.uid();
}
