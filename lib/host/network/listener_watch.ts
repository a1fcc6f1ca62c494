/**
 * Listener watch: has a listener of node:net listen again that has gone deaf.
 *
 * One that has no descriptor for a connection once (EMFILE, ENFILE) accepts nothing ever again, and says nothing of it
 * (Deno 2.9), while the kernel completes connections all the same, which then wait for ever. Who makes a process use
 * up its descriptors would have put its listener out for good.
 */
import type { Server } from "node:net";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { hasWaiting, listeningSocket } from "../../../ffi/sockets/listening_socket.ts";
import { guarded } from "../../process/guard.ts";
import { getLogger } from "../../process/logging.ts";

/** ms between two looks. */
const INTERVAL = 2_000;

export class ListenerWatch implements Disposable {
  readonly #libc: Libc;
  readonly #server: Server;
  readonly #listenAgain: () => void;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Of the listening socket; null where it is not known yet, or nothing listens. */
  #fd: number | null = null;
  #accepted = 0;
  /** How many had been accepted at the last look, if connections waited then; else null. */
  #before: number | null = null;

  /**
   * Watches a server that listens.
   *
   * @param listenAgain closes it, and listens at the same place, by the same server or another; called again as long as
   *   this one does not listen
   */
  constructor(server: Server, listenAgain: () => void) {
    this.#libc = openLibc();
    this.#server = server;
    this.#listenAgain = listenAgain;
    server.on("connection", guarded("control", "counting a connection", () => this.#accepted++));
    this.#timer = setInterval(
      guarded("control", "watching a listener", () => this.look()),
      INTERVAL,
    );
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Looks whether it has gone deaf since the last look. What waits is accepted long before the next one otherwise. */
  look(): void {
    if (this.#server.listening && this.#isDeaf() && hasDescriptor()) {
      getLogger("control").warn(
        "listener at {place}: the process was out of descriptors (EMFILE): listening again",
        { place: placeOf(this.#server) },
      );
      this.#again();
    } else if (!this.#server.listening && hasDescriptor()) this.#again();
  }

  #isDeaf(): boolean {
    this.#fd ??= listeningSocket(this.#libc, placeOf(this.#server));
    const before = this.#before;
    this.#before = this.#fd !== null && hasWaiting(this.#libc, this.#fd) ? this.#accepted : null;
    return before !== null && before === this.#before;
  }

  #again(): void {
    this.#fd = null;
    this.#before = null;
    this.#listenAgain();
  }
}

/** Port or path. */
function placeOf(server: Server): number | string {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : `${address}`;
}

function hasDescriptor(): boolean {
  try {
    Deno.openSync("/dev/null").close();
    return true;
  } catch {
    return false;
  }
}

/** Watches a server that listens on a TCP port, and has it listen there again itself; its connections stay. */
export function watchPort(server: Server, host: string): ListenerWatch {
  const port = placeOf(server);
  server.on(
    "error",
    guarded("control", "listening again", (error) => {
      throw error;
    }),
  );
  return new ListenerWatch(server, () => {
    server.close();
    server.listen({ host, port: Number(port) });
  });
}
