/** Worker's side of `WorkerClient`. */
import type { Answer } from "./worker_client.ts";

/** The global scope of a Worker, as far as it is used here. */
interface WorkerScope<Request, Result> {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(answer: Answer<Result>): void;
}

/** Answers each request with what `serve` makes of it. */
export function answerRequests<Request, Result>(serve: (request: Request) => Result): void {
  const scope = globalThis as unknown as WorkerScope<Request, Result>;
  scope.onmessage = ({ data }) => {
    try {
      scope.postMessage({ result: serve(data) });
    } catch (error) {
      scope.postMessage({ error: error instanceof Error ? `${error.stack}` : String(error) });
    }
  };
}

/** Sleeps that many ms; only in a Worker, whose thread may block. */
export function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
