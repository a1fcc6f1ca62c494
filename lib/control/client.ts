/** Control client: asks a running instance over its control socket and waits for the answers. */
import { createConnection, type Socket } from "node:net";
import type { RefusalCode } from "../core/config/refusal_error.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { findInstance, type Instance } from "./instances.ts";
import { LineSplitter } from "./lines.ts";
import { type ControlAnswer, isObject, MAX_LINE, type Params, type RequestId } from "./protocol.ts";

/** Bytes of the longest answer: that of a gateway with thousands of peers. */
const MAX_ANSWER = 64 * 1024 * 1024;

export interface RequestOptions {
  /** Called with each event before the result. */
  readonly onEvent?: (event: unknown) => void;
  /** ms to wait for the result; without end if left out. */
  readonly timeout?: number;
}

/** What an instance says of a request that it refuses. */
export class ControlRefusal extends AppError {
  /** What it means to a program; null for what nobody has thought of. */
  readonly code: RefusalCode | null;

  constructor(message: string, code: RefusalCode | null) {
    super(message, { exitCode: ExitCode.unexpected });
    this.code = code;
  }
}

interface Asked {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onEvent: (event: unknown) => void;
}

export class ControlClient implements Disposable {
  readonly #socket: Socket;
  readonly #interfaceName: string;
  readonly #splitter = new LineSplitter(MAX_ANSWER);
  readonly #asked = new Map<RequestId, Asked>();
  #lastId = 0;
  #end: Error | null = null;

  private constructor(socket: Socket, interfaceName: string) {
    this.#socket = socket;
    this.#interfaceName = interfaceName;
    socket.on("data", (chunk) => this.#splitter.push(chunk).forEach((line) => this.#take(line)));
    socket.on("close", () => this.#fail(`Connection to "${interfaceName}" lost: it has ended`));
    // "close" follows.
    socket.on("error", () => {});
  }

  /**
   * Connects to a running instance.
   *
   * @param instance it, or the name of its interface
   * @throws {AppError} with exit code 3 where nothing runs or answers, 5 where it is another user's
   */
  static async connect(instance: string | Instance): Promise<ControlClient> {
    const { path, interfaceName } = typeof instance === "string"
      ? findInstance(instance)
      : instance;
    return await ControlClient.connectTo(path, interfaceName);
  }

  /**
   * The same by the socket's file, for those who may not look for instances.
   *
   * @param interfaceName as messages name it
   */
  static async connectTo(path: string, interfaceName: string): Promise<ControlClient> {
    const socket = createConnection({ path });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (error) => reject(refusal(error, { path, interfaceName })));
    });
    return new ControlClient(socket, interfaceName);
  }

  /**
   * Asks for something. Several requests may wait at once.
   *
   * @throws {ControlRefusal} with what the instance says of a request that it refuses
   * @throws {AppError} when it ends before its answer
   */
  request(method: string, params: Params = {}, options: RequestOptions = {}): Promise<unknown> {
    if (this.#end !== null) return Promise.reject(this.#end);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const id = ++this.#lastId;
    const line = new TextEncoder().encode(`${JSON.stringify({ id, method, params })}\n`);
    if (line.length > MAX_LINE + "\n".length) {
      const message = `Cannot ask for "${method}": that is more than ${MAX_LINE} bytes at once`;
      return Promise.reject(new ControlRefusal(message, "invalid"));
    }
    this.#asked.set(id, { resolve, reject, onEvent: options.onEvent ?? (() => {}) });
    this.#socket.write(line);
    const { timeout } = options;
    if (timeout === undefined) return promise;
    const timer = setTimeout(() => {
      this.#asked.delete(id);
      const problem = `no answer to "${method}" within ${timeout / 1000} s`;
      reject(
        new AppError(`Cannot reach "${this.#interfaceName}": ${problem}`, {
          exitCode: ExitCode.connect,
        }),
      );
    }, timeout);
    return promise.finally(() => clearTimeout(timer));
  }

  /** Says that nothing more will be asked: methods that go on until then end, and their results are still to come. */
  end(): void {
    this.#socket.end();
  }

  /** Closes the connection: what has not been answered is not waited for. */
  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #take(line: string | null): void {
    if (line === null) {
      this.#socket.destroy();
      return;
    }
    const answer = answerIn(line);
    if (answer === null) {
      this.#socket.destroy();
      return;
    }
    const asked = answer.id === null ? undefined : this.#asked.get(answer.id);
    if (asked === undefined) return;
    if ("event" in answer) {
      asked.onEvent(answer.event);
      return;
    }
    this.#asked.delete(answer.id!);
    if ("result" in answer) asked.resolve(answer.result);
    else asked.reject(new ControlRefusal(answer.error, answer.code ?? null));
  }

  #fail(message: string): void {
    this.#end = new AppError(message, { exitCode: ExitCode.connect });
    for (const { reject } of this.#asked.values()) reject(this.#end);
    this.#asked.clear();
  }
}

/** Null for what is none: who listens there has another version, or is another program. */
function answerIn(line: string): ControlAnswer | null {
  try {
    const answer: unknown = JSON.parse(line);
    return isObject(answer) && "id" in answer ? answer as unknown as ControlAnswer : null;
  } catch {
    return null;
  }
}

function refusal(
  error: Error,
  { path, interfaceName }: { readonly path: string; readonly interfaceName: string },
): AppError {
  const code = "code" in error ? error.code : "";
  if (code === "EACCES" || code === "EPERM") {
    return new AppError(
      `Cannot reach "${interfaceName}": ${path}: permission denied: run as root, or as the user that started it`,
      { exitCode: ExitCode.privilege, cause: error },
    );
  }
  return new AppError(`Cannot reach "${interfaceName}": ${path}: ${error.message}`, {
    exitCode: ExitCode.connect,
    cause: error,
  });
}
