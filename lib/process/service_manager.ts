/**
 * Service manager: tells the program that started this one, by the protocol of sd_notify(3), how far it is: systemd for
 * a unit of `Type=notify`, `vpn up` where no systemd runs.
 *
 * Started means connected (a client) or serving (a gateway), so that what is ordered behind the unit finds the tunnel
 * there.
 */
import { monotonicTime } from "../../ffi/clock.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { UnixDatagramSender } from "../../ffi/sockets/unix_datagram.ts";
import { errorLine } from "./errors.ts";
import { guarded } from "./guard.ts";

/** Seconds that a manager which is busy may hold us up for. */
const SEND_TIMEOUT = 1;

/** What the environment says of the manager, by the variables of sd_notify(3) and sd_watchdog_enabled(3). */
export interface ManagerEnvironment {
  get(name: string): string | undefined;
  delete(name: string): void;
}

export class ServiceManager implements Disposable {
  readonly #libc: Libc;
  readonly #sender: UnixDatagramSender | null;
  #watchdog: ReturnType<typeof setInterval> | undefined;

  private constructor(libc: Libc, sender: UnixDatagramSender | null) {
    this.#libc = libc;
    this.#sender = sender;
  }

  /**
   * The manager that the environment names. One that cannot be reached, or none, is told nothing: that keeps no tunnel
   * from running. To be called before the process enters another network namespace, which has abstract names of its
   * own.
   *
   * @param environment what it says is for this process alone, and is taken out, so that hooks do not speak for us
   */
  static of(environment: ManagerEnvironment = Deno.env): ServiceManager {
    const take = (name: string) => {
      const value = environment.get(name);
      if (value !== undefined) environment.delete(name);
      return value;
    };
    const name = take("NOTIFY_SOCKET");
    const period = Number(take("WATCHDOG_USEC") ?? 0) / 1000;
    const watched = take("WATCHDOG_PID") ?? `${Deno.pid}`;
    const libc = openLibc();
    const manager = new ServiceManager(libc, name === undefined ? null : connect(libc, name));
    if (period > 0 && watched === `${Deno.pid}`) manager.#feedWatchdog(period);
    return manager;
  }

  /** The tunnel is up. */
  ready(status: string): void {
    this.#tell("READY=1", statusLine(status));
  }

  /** What the tunnel is doing, for a person to read. */
  status(status: string): void {
    this.#tell(statusLine(status));
  }

  /** The configuration is read again; `reloaded()` is to follow. */
  reloading(): void {
    // The time tells the manager which of its requests this answers.
    const time = Math.floor(monotonicTime(this.#libc) * 1000);
    this.#tell("RELOADING=1", `MONOTONIC_USEC=${time}`);
  }

  /** It has been, whatever came of it. */
  reloaded(): void {
    this.#tell("READY=1");
  }

  /** The tunnel is being taken down. */
  stopping(): void {
    this.#tell("STOPPING=1");
  }

  /** Why the program ends. */
  failed(error: unknown): void {
    this.#tell(statusLine(errorLine(error)));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#watchdog);
    this.#sender?.[Symbol.dispose]();
  }

  /** Twice as often as asked for, as sd_watchdog_enabled(3) advises. A main thread that hangs says nothing. */
  #feedWatchdog(period: number): void {
    const feed = guarded("control", "feeding the watchdog", () => this.#tell("WATCHDOG=1"));
    this.#watchdog = setInterval(feed, period / 2);
    // It keeps no process alive.
    Deno.unrefTimer(this.#watchdog);
  }

  #tell(...lines: readonly string[]): void {
    try {
      this.#sender?.send(new TextEncoder().encode(lines.join("\n")));
    } catch {
      // A manager that has gone, or does not listen, is no reason for a tunnel to end.
    }
  }
}

/** Runs a tunnel that tells the manager of itself, and of the error that ends it. */
export async function underManager(
  run: (manager: ServiceManager) => Promise<number>,
): Promise<number> {
  using manager = ServiceManager.of();
  try {
    return await run(manager);
  } catch (error) {
    manager.failed(error);
    throw error;
  }
}

function connect(libc: Libc, name: string): UnixDatagramSender | null {
  try {
    return UnixDatagramSender.connect(libc, name, { timeout: SEND_TIMEOUT });
  } catch {
    return null;
  }
}

function statusLine(status: string): string {
  return `STATUS=${status.replace(/\s*\n\s*/g, "; ")}`;
}
