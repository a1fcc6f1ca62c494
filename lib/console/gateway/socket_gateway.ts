/**
 * Socket gateway: the gateway by its control socket: the console's own, where its configuration has `ControlGroup`, or
 * else, for who may use it, that of the command line.
 */
import { existsSync } from "node:fs";
import type { EventEntry } from "../../control/application/methods.ts";
import { ControlClient, ControlRefusal } from "../../control/client.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import {
  type ConsoleGateway,
  type GatewayMethod,
  GatewayRefusal,
  GatewayUnreachable,
  type ParamsOf,
  type ResultOf,
} from "./gateway.ts";

/** ms; a gateway that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 10_000;
/** Requests at once; the gateway has room for some more connections, of whom else asks it. */
const MAX_CONNECTIONS = 8;
const MAX_WAITING = 64;

export class SocketGateway implements ConsoleGateway {
  readonly interfaceName: string;
  readonly #path: string | null;
  readonly #waiting: (() => void)[] = [];
  #asking = 0;

  /** @param path of the socket; null for the usual one */
  constructor(interfaceName: string, path: string | null) {
    this.interfaceName = interfaceName;
    this.#path = path;
  }

  async ask<Name extends GatewayMethod>(
    method: Name,
    params: ParamsOf<Name>,
  ): Promise<ResultOf<Name>> {
    if (this.#asking < MAX_CONNECTIONS) this.#asking++;
    else if (this.#waiting.length >= MAX_WAITING) {
      throw new GatewayUnreachable("Too many requests wait for the gateway: try again later");
    } else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      using client = await this.#connect();
      const options = { timeout: ANSWER_TIMEOUT };
      // It is our own program that answers.
      return await client.request(method, { ...params }, options) as ResultOf<Name>;
    } catch (error) {
      throw explained(error);
    } finally {
      const next = this.#waiting.shift();
      // Whose turn comes takes the place over.
      if (next === undefined) this.#asking--;
      else next();
    }
  }

  async followEvents(onEvent: (event: EventEntry) => void, signal: AbortSignal): Promise<void> {
    try {
      using client = await this.#connect();
      const aborted = new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => resolve());
      });
      const followed = client.request("follow-events", {}, {
        onEvent: guarded("console", "telling an event", (event) => onEvent(event as EventEntry)),
      });
      await Promise.race([followed, aborted]);
      // What it says of being left is nobody's.
      followed.catch(() => {});
    } catch (error) {
      throw explained(error);
    }
  }

  async #connect(): Promise<ControlClient> {
    const { interfaceName } = this;
    const path = this.#path ?? `/run/vpn-console/${interfaceName}/control.sock`;
    return this.#path !== null || existsSync(path)
      ? await ControlClient.connectTo(path, interfaceName)
      : await ControlClient.connect(interfaceName);
  }
}

function explained(error: unknown): unknown {
  if (error instanceof ControlRefusal) return new GatewayRefusal(error.message, error.code);
  if (error instanceof AppError) {
    const { message, exitCode } = error;
    const remedy = exitCode === ExitCode.privilege
      ? ": set ControlGroup in the gateway's configuration to a group of the console's user"
      : "";
    return new GatewayUnreachable(message + remedy, { cause: error });
  }
  return error;
}
