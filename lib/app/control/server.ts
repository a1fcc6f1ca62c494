/** Owns the control socket of a running instance: takes requests, has them done in order, sends the answers. */
import type { Socket } from "node:net";
import type { Journal } from "../journal.ts";
import { journalDirectory } from "../journal_directory.ts";
import { background, guarded } from "../guard.ts";
import { getLogger } from "../logging.ts";
import { LineSplitter } from "./lines.ts";
import { LocalSocket } from "./local_socket.ts";
import {
  type ControlAnswer,
  type Handler,
  MAX_LINE,
  parseRequest,
  RequestError,
  type RequestId,
} from "./protocol.ts";

/** Requests of one connection that wait for their turn; whoever sends more is not read until they are done. */
const MAX_WAITING = 16;

export interface ControlServerOptions {
  readonly interfaceName: string;
  readonly journal: Journal;
  /** By the method's name. */
  readonly handlers: Readonly<Record<string, Handler>>;
}

export class ControlServer implements AsyncDisposable {
  readonly #socket: LocalSocket;

  private constructor(socket: LocalSocket) {
    this.#socket = socket;
  }

  /**
   * Listens on `/run/vpn/INTERFACE.sock`, or `INTERFACE-PID.sock` where an instance in another network namespace has that.
   *
   * @throws {Error} where the file cannot be made
   */
  static async open(
    { interfaceName, journal, handlers }: ControlServerOptions,
  ): Promise<ControlServer> {
    const stem = `${journalDirectory()}/${interfaceName}`;
    const paths = [`${stem}.sock`, `${stem}-${Deno.pid}.sock`];
    const socket = await LocalSocket.listen(paths, {
      journal,
      onConnection: (connection) => new Conversation(connection, handlers),
    });
    if (socket === null) throw new Error(`Cannot listen on ${paths.at(-1)}: it is there already`);
    return new ControlServer(socket);
  }

  get path(): string {
    return this.#socket.path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#socket[Symbol.asyncDispose]();
  }
}

/** What passes on one connection. */
class Conversation {
  readonly #socket: Socket;
  readonly #handlers: Readonly<Record<string, Handler>>;
  readonly #splitter = new LineSplitter(MAX_LINE);
  readonly #waiting: (string | null)[] = [];
  readonly #gone = new AbortController();
  #isBusy = false;
  #hasEnded = false;

  constructor(socket: Socket, handlers: Readonly<Record<string, Handler>>) {
    this.#socket = socket;
    this.#handlers = handlers;
    const on = (event: "data" | "end" | "close", handler: (chunk: Uint8Array) => void) =>
      socket.on(event, guarded("control", "serving a control connection", handler));
    on("data", (chunk) => this.#take(this.#splitter.push(chunk)));
    on("end", () => {
      this.#hasEnded = true;
      const rest = this.#splitter.rest();
      this.#take(rest === "" ? [] : [rest]);
      this.#gone.abort();
    });
    on("close", () => this.#gone.abort());
  }

  #take(lines: readonly (string | null)[]): void {
    this.#waiting.push(...lines);
    if (this.#waiting.length > MAX_WAITING) this.#socket.pause();
    if (!this.#isBusy) background("control", "answering requests", this.#answerAll());
  }

  async #answerAll(): Promise<void> {
    this.#isBusy = true;
    for (;;) {
      const line = this.#waiting.shift();
      if (line === undefined || this.#socket.destroyed) break;
      if (line === null) {
        await this.#send({
          id: null,
          error: `Cannot read the request: it has over ${MAX_LINE} bytes`,
        });
        // Where the next one would begin is not known.
        this.#socket.destroySoon();
        return;
      }
      await this.#send(await this.#answer(line));
      if (this.#waiting.length === 0) this.#socket.resume();
    }
    this.#isBusy = false;
    if (this.#hasEnded) this.#socket.end();
  }

  async #answer(line: string): Promise<ControlAnswer> {
    let id: RequestId | null = null;
    try {
      const request = parseRequest(line);
      const own = id = request.id;
      if (!Object.hasOwn(this.#handlers, request.method)) {
        const known = Object.keys(this.#handlers).join(", ");
        throw new RequestError(`Cannot do "${request.method}": the methods are ${known}`);
      }
      const emit = (event: unknown) => this.#send({ id: own, event });
      getLogger("control").debug("asked for {method}", { method: request.method });
      const handler = this.#handlers[request.method]!;
      return { id, result: await handler(request.params, emit, this.#gone.signal) ?? null };
    } catch (error) {
      return { id, error: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Resolves when the other end has taken it, or enough of what was before, or is gone. */
  async #send(answer: ControlAnswer): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed || socket.write(`${JSON.stringify(answer)}\n`)) return;
    await new Promise<void>((resolve) => {
      const done = guarded("control", "waiting for room", () => {
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      });
      socket.on("drain", done);
      socket.on("close", done);
    });
  }
}
