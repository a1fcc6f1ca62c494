/**
 * Running captures: the main thread asks the data plane for captures, and takes chunks no faster than their reader
 * wants them.
 */
import type { CaptureCounts } from "../core/capture/capture.ts";
import type { CaptureCommand, CaptureReport, CaptureRequest } from "./captures.ts";
import { guarded } from "../process/guard.ts";

/** Each costs the data plane a copy of every packet. */
const MAX_CAPTURES = 4;

export interface CaptureConsumer {
  /** Takes the file's next blocks; what comes next waits until it resolves. */
  readonly onChunk: (chunk: Uint8Array<ArrayBuffer>) => Promise<void>;
  /** Ends the capture. */
  readonly signal: AbortSignal;
}

interface Running extends CaptureConsumer {
  readonly resolve: (counts: CaptureCounts) => void;
  readonly reject: (error: Error) => void;
  /** Resolves when all chunks so far have been taken. */
  taken: Promise<void>;
}

export class RunningCaptures {
  readonly #send: (command: CaptureCommand) => void;
  readonly #running = new Map<number, Running>();
  #lastId = 0;

  constructor(send: (command: CaptureCommand) => void) {
    this.#send = send;
  }

  /**
   * Captures until the consumer's signal is aborted.
   *
   * @throws {Error} where too many run, when a chunk cannot be taken, or when the data plane ends
   */
  async run(request: CaptureRequest, consumer: CaptureConsumer): Promise<CaptureCounts> {
    if (this.#running.size >= MAX_CAPTURES) {
      throw new Error(
        `Cannot capture: ${MAX_CAPTURES} captures are running already: end one of them`,
      );
    }
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<CaptureCounts>();
    this.#running.set(id, { ...consumer, resolve, reject, taken: Promise.resolve() });
    const end = guarded("control", "ending a capture", () => this.#sendAbout(id, "end-capture"));
    try {
      this.#send({ kind: "start-capture", id, request });
      if (consumer.signal.aborted) end();
      else consumer.signal.addEventListener("abort", end, { once: true });
      return await promise;
    } finally {
      consumer.signal.removeEventListener("abort", end);
      this.#running.delete(id);
    }
  }

  /** Takes what the data plane says of a capture. */
  take(report: CaptureReport): void {
    const { id } = report;
    const running = this.#running.get(id);
    if (running === undefined) return;
    running.taken = running.taken.then(async () => {
      if (report.kind === "capture-ended") running.resolve(report.counts);
      else {
        await running.onChunk(report.chunk);
        this.#sendAbout(id, "capture-taken");
      }
    });
    running.taken.catch((error) => {
      this.#sendAbout(id, "end-capture");
      running.reject(error);
    });
  }

  /** Ends all, because there will be no more. */
  fail(error: Error): void {
    for (const { reject } of this.#running.values()) reject(error);
    this.#running.clear();
  }

  /** Nothing is said of a capture that has ended: the data plane may be gone with it. */
  #sendAbout(id: number, kind: "capture-taken" | "end-capture"): void {
    if (this.#running.has(id)) this.#send({ kind, id });
  }
}
