/** Control server: takes requests, has them done in order, sends the answers. */
import type { Journal } from "../host/journal/journal.ts";
import { errorMessage } from "../process/errors.ts";
import { journalDirectory } from "../process/journal_directory.ts";
import { background } from "../process/guard.ts";
import { getLogger } from "../process/logging.ts";
import { RefusalError } from "../core/config/refusal_error.ts";
import { LineSplitter } from "./lines.ts";
import type { LocalConnection } from "./local_connection.ts";
import { LocalSocket, type LocalSocketOptions } from "./local_socket.ts";
import {
  type ControlAnswer,
  type Handler,
  JsonChunks,
  MAX_LINE,
  parseRequest,
  refusalCode,
  type RequestId,
} from "./protocol.ts";

/**
 * Requests of one connection that wait for their turn; a connection that sends more is not read until they are done.
 */
const MAX_WAITING = 16;

export interface ControlServerOptions {
  readonly interfaceName: string;
  readonly journal: Journal;
  /** By the method's name. */
  readonly handlers: Readonly<Record<string, Handler>>;
}

/** The console's socket: where it is, and the group of users that may connect. */
export interface ConsoleServerOptions extends Omit<ControlServerOptions, "interfaceName"> {
  readonly folder: string;
  readonly group: number;
}

export class ControlServer implements AsyncDisposable {
  readonly #socket: LocalSocket;

  private constructor(socket: LocalSocket) {
    this.#socket = socket;
  }

  /**
   * Listens on `/run/vpn/INTERFACE.sock`, or `INTERFACE-PID.sock` where an instance in another network namespace has
   * that.
   *
   * @throws {Error} where the file cannot be made
   */
  static async open(
    { interfaceName, journal, handlers }: ControlServerOptions,
  ): Promise<ControlServer> {
    return await ControlServer.#listen(`${journalDirectory()}/${interfaceName}`, {
      journal,
      onConnection: (connection) => new Conversation(connection, { handlers, isConsole: false }),
    });
  }

  /** The same on `FOLDER/control.sock`, for a group of users. @throws {Error} the same */
  static async openConsole(
    { folder, group, journal, handlers }: ConsoleServerOptions,
  ): Promise<ControlServer> {
    return await ControlServer.#listen(`${folder}/control`, {
      journal,
      group,
      onConnection: (connection) => new Conversation(connection, { handlers, isConsole: true }),
    });
  }

  static async #listen(stem: string, options: LocalSocketOptions): Promise<ControlServer> {
    const paths = [`${stem}.sock`, `${stem}-${Deno.pid}.sock`];
    const socket = await LocalSocket.listen(paths, options);
    if (socket === null) throw new Error(`Cannot listen on ${paths.at(-1)}: it exists already`);
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
  readonly #connection: LocalConnection;
  readonly #handlers: Readonly<Record<string, Handler>>;
  readonly #isConsole: boolean;
  readonly #splitter = new LineSplitter(MAX_LINE);
  readonly #waiting: (string | null)[] = [];
  readonly #gone = new AbortController();
  #hasEnded = false;

  constructor(
    connection: LocalConnection,
    { handlers, isConsole }: {
      readonly handlers: Readonly<Record<string, Handler>>;
      readonly isConsole: boolean;
    },
  ) {
    this.#connection = connection;
    this.#handlers = handlers;
    this.#isConsole = isConsole;
    connection.onData((chunk) => this.#take(this.#splitter.push(chunk)));
    connection.onEnd(() => {
      this.#hasEnded = true;
      const rest = this.#splitter.rest();
      this.#take(rest === "" ? [] : [rest]);
      this.#gone.abort();
    });
    connection.onClose(() => this.#gone.abort());
  }

  #take(lines: readonly (string | null)[]): void {
    const connection = this.#connection;
    this.#waiting.push(...lines);
    if (this.#waiting.length > MAX_WAITING) connection.socket.pause();
    if (connection.isBusy || (lines.length === 0 && !this.#hasEnded)) return;
    background("control", "answering requests", this.#answerAll());
  }

  async #answerAll(): Promise<void> {
    const { socket } = this.#connection;
    this.#connection.isBusy = true;
    for (;;) {
      const line = this.#waiting.shift();
      if (line === undefined || socket.destroyed) break;
      if (line === null) {
        await this.#send({
          id: null,
          error: `Cannot read the request: it is longer than ${MAX_LINE} bytes`,
        });
        // Where the next one would begin is not known.
        socket.destroySoon();
        return;
      }
      for (const text of await this.#answer(line)) await this.#connection.send(text);
      if (this.#waiting.length === 0) socket.resume();
    }
    this.#connection.isBusy = false;
    if (this.#hasEnded) socket.end();
  }

  /** The answer's line, in chunks. */
  async #answer(line: string): Promise<readonly string[]> {
    let id: RequestId | null = null;
    try {
      const request = parseRequest(line);
      const own = id = request.id;
      if (!Object.hasOwn(this.#handlers, request.method)) {
        const known = Object.keys(this.#handlers).join(", ");
        throw new RefusalError(
          "not-found",
          `Cannot do "${request.method}": the methods are ${known}`,
        );
      }
      const emit = (event: unknown) => this.#send({ id: own, event });
      getLogger("control").debug("asked for {method}", { method: request.method });
      const handler = this.#handlers[request.method]!;
      const caller = { user: this.#connection.user, isConsole: this.#isConsole };
      const result = await handler(request.params, emit, this.#gone.signal, caller) ?? null;
      if (!(result instanceof JsonChunks)) return [lineOf({ id, result })];
      return [`{"id":${JSON.stringify(id)},"result":`, ...result.chunks, "}\n"];
    } catch (error) {
      const message = errorMessage(error);
      const code = refusalCode(error);
      return [lineOf({ id, error: message, ...code === undefined ? {} : { code } })];
    }
  }

  async #send(answer: ControlAnswer): Promise<void> {
    await this.#connection.send(lineOf(answer));
  }
}

function lineOf(answer: ControlAnswer): string {
  return `${JSON.stringify(answer)}\n`;
}
