/** A bucket in memory, as several readers and writers at a server have it; it can be made to fail. */
import type { BucketEntry } from "../../../lib/core/fleet/store_mirror.ts";
import type { StoreBucket } from "../../../lib/host/fleet/store_bucket.ts";

/** What the server has. */
export class MemoryBucketServer {
  readonly entries = new Map<string, BucketEntry>();
  #revision = 0;
  readonly #readers = new Set<(entry: BucketEntry) => void>();
  readonly #connections = new Set<(reason: string) => void>();
  /** Whether it is down; why. */
  failure: string | null = null;
  /** Is asked before each write; what it throws, the writer is told. */
  beforePut: (key: string) => void = () => {};
  /** The same behind a write: the answer is lost. */
  afterPut: (key: string) => void = () => {};
  connections = 0;

  readonly open = (): Promise<StoreBucket> => {
    if (this.failure !== null) return Promise.reject(new Error(this.failure));
    this.connections++;
    const { promise: closed, resolve } = Promise.withResolvers<string>();
    this.#connections.add(resolve);
    let reader: (entry: BucketEntry) => void = () => {};
    return Promise.resolve({
      server: "memory:4222",
      replicas: 3,
      closed,
      follow: async (onEntry) => {
        const all = [...this.entries.values()].sort((one, other) => one.revision - other.revision);
        for (const entry of all) onEntry(entry);
        reader = onEntry;
        this.#readers.add(reader);
        await Promise.resolve();
      },
      revisionOf: (key) => this.#whileUp(() => this.entries.get(key)?.revision ?? 0),
      put: (key, value, expected) =>
        this.#whileUp(() => {
          this.beforePut(key);
          if ((this.entries.get(key)?.revision ?? 0) !== expected) return null;
          const revision = this.write(key, value);
          this.afterPut(key);
          return revision;
        }),
      [Symbol.asyncDispose]: () => {
        this.#readers.delete(reader);
        this.#connections.delete(resolve);
        return Promise.resolve();
      },
    });
  };

  /** Ends all connections, and takes no new one. */
  stop(reason: string): void {
    this.failure = reason;
    this.#readers.clear();
    for (const close of this.#connections) close(reason);
  }

  start(): void {
    this.failure = null;
  }

  /** Tells those who read now of nothing any more, though they stay connected. */
  deafen(): void {
    this.#readers.clear();
  }

  /** As another program at the server would. */
  write(key: string, value: Uint8Array | string | null): number {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    const entry = { key, value: bytes, revision: ++this.#revision };
    this.entries.set(key, entry);
    for (const reader of this.#readers) reader(entry);
    return entry.revision;
  }

  #whileUp<T>(call: () => T): Promise<T> {
    if (this.failure !== null) return Promise.reject(new Error(this.failure));
    return Promise.try(call);
  }
}
