/**
 * Hooks: commands of the configuration that run at the turns of a tunnel's life, in wg-quick's order:
 *
 * - `PreUp` when the device is there, but neither configured nor switched on
 * - `PostUp` when everything is set up
 * - `PreDown` while everything stands, the sockets that `wg` and `vpn status` ask included, if all had been set up
 * - `PostDown` when the device is gone, whatever became of the start, and by `vpn cleanup` after a crash
 */
import type { Config, HookCommand } from "../../core/config/config.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { background } from "../../process/guard.ts";
import { DOWN_LIMIT, type PreparedHook, runHook, warnOfHook } from "./hook_command.ts";
import type { Journal } from "../journal/journal.ts";

export interface HooksOptions {
  readonly config: Config;
  readonly interfaceName: string;
  readonly journal: Journal;
  /** Ends the commands on the way up: what runs then is killed, what comes after is left out. */
  readonly stop: Promise<unknown>;
}

export class Hooks {
  readonly #options: HooksOptions;
  #isStopped = false;
  #isUp = false;

  constructor(options: HooksOptions) {
    this.#options = options;
    background("hooks", "stopping commands", options.stop.then(() => this.#isStopped = true));
  }

  /** Whether a command is still to come when the tunnel ends. */
  get hasDown(): boolean {
    const { preDown, postDown } = this.#options.config.interface;
    return preDown.length + postDown.length > 0;
  }

  /**
   * Notes the `PostDown` commands, then runs those of `PreUp`.
   *
   * @throws {AppError} where one fails
   */
  async preUp(): Promise<void> {
    const { config, journal } = this.#options;
    const commands = config.interface.postDown.map((hook) => this.#prepare("PostDown", hook));
    if (commands.length > 0) journal.make({ kind: "hook", commands });
    await this.#runUp("PreUp", config.interface.preUp);
  }

  /** @throws {AppError} where one fails */
  async postUp(): Promise<void> {
    await this.#runUp("PostUp", this.#options.config.interface.postUp);
    this.#isUp = true;
  }

  /** Nothing where `postUp()` did not come to its end. One that fails, or takes too long, is a warning. */
  async preDown(): Promise<void> {
    if (!this.#isUp) return;
    this.#isUp = false;
    for (const hook of this.#options.config.interface.preDown) {
      const prepared = this.#prepare("PreDown", hook);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise((resolve) => timer = setTimeout(resolve, DOWN_LIMIT));
      const problem = await runHook(prepared.command, late);
      clearTimeout(timer);
      if (problem !== null) warnOfHook(prepared, problem);
    }
  }

  async #runUp(key: "PreUp" | "PostUp", hooks: readonly HookCommand[]): Promise<void> {
    for (const hook of hooks) {
      if (this.#isStopped) return;
      const { command, place } = this.#prepare(key, hook);
      const problem = await runHook(command, this.#options.stop);
      if (problem === null || this.#isStopped) continue;
      throw new AppError(`${place}: the command ${problem}: all changes are undone`, {
        exitCode: ExitCode.unexpected,
      });
    }
  }

  #prepare(key: string, { command, line }: HookCommand): PreparedHook {
    const { config, interfaceName } = this.#options;
    return {
      // By a function: a string would have "$&" stand for something.
      command: command.replaceAll("%i", () => interfaceName),
      place: `${config.fileName}:${line}: ${key}`,
    };
  }
}
