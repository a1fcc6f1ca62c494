/**
 * Agent: the demo's end of a thread that lives in a namespace and does there what a user would do.
 *
 * It is a Worker because a namespace belongs to a thread: `Deno.connect()`, `fetch()` and the like make their sockets
 * when the event loop comes to it, so on this thread, which visits a namespace for the length of one call, they would
 * be made at home. A Worker is an operating-system thread with an event loop of its own; created inside the namespace,
 * it and all that it ever opens belong there. It needs no executable file of its own as a process would.
 */
import { inNamespace } from "../../../ffi/netns.ts";
import type { AgentAnswer, Argument, Call, Result, ServiceName } from "./agent_protocol.ts";

interface Waiter {
  readonly resolve: (result: Result<ServiceName>) => void;
  readonly reject: (error: Error) => void;
}

export class Agent implements Disposable {
  readonly #worker: Worker;
  readonly #waiters = new Map<number, Waiter>();
  #calls = 0;

  /** @param namespace its name */
  constructor(namespace: string) {
    this.#worker = inNamespace(
      namespace,
      () =>
        new Worker(new URL("./demo_worker.ts", import.meta.url), {
          type: "module",
          name: namespace,
        }),
    );
    this.#worker.onmessage = ({ data }: MessageEvent<AgentAnswer>) => {
      const waiter = this.#take(data.id);
      if (data.ok) waiter?.resolve(data.result);
      else waiter?.reject(new Error(data.message));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#rejectAll(event.message);
    };
  }

  /**
   * Calls a service in the namespace.
   *
   * @param timeout ms
   * @throws {Error} with the service's own words, or when the time is up
   */
  async call<Name extends ServiceName>(
    service: Name,
    argument: Argument<Name>,
    { timeout }: { readonly timeout: number },
  ): Promise<Result<Name>> {
    const id = ++this.#calls;
    const { promise, resolve, reject } = Promise.withResolvers<Result<ServiceName>>();
    this.#waiters.set(id, { resolve, reject });
    const timer = setTimeout(() => {
      this.#take(id)?.reject(new Error(`not finished within ${timeout / 1000} s`));
    }, timeout);
    this.#worker.postMessage({ id, service, argument } satisfies Call);
    try {
      // What answers a call is the result of the service that was called.
      return await promise as Result<Name>;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the thread; its sockets go with it. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
    this.#rejectAll("ended before the answer");
  }

  #rejectAll(message: string): void {
    for (const id of [...this.#waiters.keys()]) this.#take(id)?.reject(new Error(message));
  }

  #take(id: number): Waiter | undefined {
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    return waiter;
  }
}
