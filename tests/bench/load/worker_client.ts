/** Worker client: talks to a Worker that does one thing at a time: a request out, an answer back. */

/** What a Worker answers: a result, or the text of an error. */
export type Answer<Result> = { readonly result: Result } | { readonly error: string };

/** A Worker that makes a `Result` of each `Request`. Disposal ends it. */
export class WorkerClient<Request, Result> implements Disposable {
  readonly #worker: Worker;

  /** @param name of the module, beside this one */
  constructor(name: string) {
    this.#worker = new Worker(new URL(name, import.meta.url), { type: "module" });
  }

  /** Asks, and waits for the answer; one at a time. */
  ask(request: Request): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#worker.onmessage = ({ data }: MessageEvent<Answer<Result>>) => {
      if ("error" in data) reject(new Error(data.error));
      else resolve(data.result);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    this.#worker.postMessage(request);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
