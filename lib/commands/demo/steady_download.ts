/** Steady download: services of a demo for one that goes on, slowly, until it is told to end. */
import { createHash, randomBytes } from "node:crypto";
import { get } from "node:http";

/** Bytes that are sent at once, and ms until the next. */
const CHUNK = 8_192;
const PAUSE = 20;

export interface Transferred {
  readonly bytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

/** One end of it, in one thread. */
class End {
  readonly #hash = createHash("sha256");
  bytes = 0;
  isEnding = false;
  readonly done = Promise.withResolvers<void>();

  take(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
  }

  get transferred(): Transferred {
    return { bytes: this.bytes, sha256: this.#hash.digest("hex") };
  }
}

let end = new End();

export const steadyDownload = {
  /** Opens a site that sends random bytes to its visitor. */
  pour({ address, port }: { readonly address: string; readonly port: number }): void {
    const source = end = new End();
    const content = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
        const chunk = randomBytes(CHUNK);
        source.take(chunk);
        controller.enqueue(chunk);
        if (source.isEnding) controller.close();
      },
    });
    Deno.serve({ hostname: address, port, onListen: () => {} }, () => new Response(content));
  },

  /** Has what `pour()` sends end with its next piece. */
  stopPouring(): void {
    end.isEnding = true;
  },

  /** Begins to fetch it. */
  beginFetch(from: { readonly host: string; readonly port: number }): void {
    const sink = end = new End();
    sink.done.promise.catch(() => {});
    get({ ...from, agent: false }, (answer) => {
      answer.on("data", (chunk: Uint8Array) => sink.take(chunk));
      answer.on("end", () => sink.done.resolve());
      answer.on("error", sink.done.reject);
    }).on("error", sink.done.reject);
  },

  /** Bytes that have been fetched. */
  async fetched(): Promise<number> {
    // A failure is told where it is asked for.
    const { bytes } = end;
    await Promise.race([end.done.promise, Promise.resolve()]);
    return bytes;
  },

  /** What has been sent, once all of it is fetched. */
  poured(): Transferred {
    return end.transferred;
  },

  /** What has been fetched, once all of it is. */
  async fetchedAll(): Promise<Transferred> {
    await end.done.promise;
    return end.transferred;
  },
};
