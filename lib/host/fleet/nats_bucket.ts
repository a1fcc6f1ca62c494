/** NATS bucket: the store's bucket in JetStream, the key-value store of NATS. */
import { isIP } from "node:net";
import {
  jetstream,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
} from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import {
  type Authenticator,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
} from "@nats-io/transport-node";
import { MAX_COMMIT_SIZE } from "../../core/fleet/store_entries.ts";
import type { BucketEntry } from "../../core/fleet/store_mirror.ts";
import { errorMessage } from "../../process/errors.ts";
import { background, guarded } from "../../process/guard.ts";
import { firstAnswer } from "./first_answer.ts";
import { connectNats } from "./nats_connect.ts";
import type { StoreBucket } from "./store_bucket.ts";

/**
 * ms for a connection to one server, and until the next is tried as well; for an answer of JetStream, and between
 * entries of the first reading.
 */
const CONNECT_TIMEOUT = 3_000;
const CONNECT_PAUSE = 300;
const ANSWER_TIMEOUT = 3_000;
const STALL_TIMEOUT = 10_000;
const PING_INTERVAL = 10_000;
/** Of a bucket that is made: each entry is on so many servers, where there are as many. */
const REPLICAS = 3;
const MAX_BYTES = 128 * 1024 * 1024;
/** Of JetStream's errors. */
const STREAM_NOT_FOUND = 10059;
const WRONG_LAST_SEQUENCE = 10071;
/**
 * The same of NATS 2.12 and later while it cannot tell which revision there is, as a write to the key is under way, or
 * its leader is new: nothing is written; and ms in which it may be able to.
 */
const REVISION_UNKNOWN: ReadonlySet<number | null> = new Set([10163, 10164]);
const UNKNOWN_PAUSE = 20;
const NOT_CLUSTERED = 10074;

export interface NatsBucketOptions {
  /** As in `tls://nats-a.example.org:4222`. */
  readonly servers: readonly string[];
  readonly bucket: string;
  /** The name that the server's own status shows. */
  readonly name: string;
  /** What is in the credentials file; null for none. */
  readonly credentials: string | null;
  /** Certificates of those that may vouch for a server, in PEM; null: those that the system trusts. */
  readonly ca: string | null;
}

/** Connects to one of the servers, and makes the bucket where there is none. @throws {Error} */
export async function openNatsBucket(options: NatsBucketOptions): Promise<StoreBucket> {
  const { bucket } = options;
  const connection = await connectToAny(options);
  try {
    const manager = await jetstreamManager(connection, {
      timeout: ANSWER_TIMEOUT,
      checkAPI: false,
    });
    const kvs = new Kvm(jetstream(connection, { timeout: ANSWER_TIMEOUT }));
    const info = await bucketInfo(manager, bucket) ?? await made(kvs, manager, bucket);
    return new NatsBucket(connection, await kvs.open(bucket), info);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** In another order each time, so that gateways are spread over the servers. */
async function connectToAny(options: NatsBucketOptions): Promise<NatsConnection> {
  const servers = options.servers
    .map((server) => ({ server, place: Math.random() }))
    .sort((one, other) => one.place - other.place);
  return await firstAnswer(
    servers.map(({ server }) => () => connectTo(server, options)),
    { pause: CONNECT_PAUSE, close: (connection) => connection.close() },
  );
}

async function connectTo(
  server: string,
  { name, credentials, ca }: NatsBucketOptions,
): Promise<NatsConnection> {
  const isSecure = server.startsWith("tls://");
  // Of several servers, the library would hold the certificate of one that is named by its address against "localhost".
  const host = /^tls:\/\/\[?(.*?)\]?:\d+$/.exec(server)?.[1] ?? "";
  const tls = { ...ca === null ? {} : { ca }, ...isIP(host) === 0 ? {} : { host } };
  return await connectNats({
    servers: [server],
    name,
    timeout: CONNECT_TIMEOUT,
    // A new connection reads all again, see StoreLink.
    reconnect: false,
    pingInterval: PING_INTERVAL,
    ignoreClusterUpdates: true,
    ...isSecure ? { tls } : {},
    ...credentials === null ? {} : { authenticator: authenticatorOf(credentials) },
  });
}

/** A user's JWT with its key, as `nsc` writes it, or the key alone. */
function authenticatorOf(text: string): Authenticator {
  if (text.includes("BEGIN NATS USER JWT")) {
    return credsAuthenticator(new TextEncoder().encode(text));
  }
  const seed = /\bSU[A-Z2-7]{56}\b/.exec(text)?.[0] ?? "";
  return nkeyAuthenticator(new TextEncoder().encode(seed));
}

interface BucketInfo {
  readonly replicas: number;
  /** Those that have an entry, or had one that was deleted. */
  readonly keys: readonly string[];
}

async function bucketInfo(manager: JetStreamManager, bucket: string): Promise<BucketInfo | null> {
  try {
    const { config, state } = await manager.streams.info(`KV_${bucket}`, { subjects_filter: ">" });
    const prefix = `$KV.${bucket}.`;
    const keys = Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length));
    return { replicas: config.num_replicas, keys };
  } catch (error) {
    if (codeOf(error) === STREAM_NOT_FOUND) return null;
    throw error;
  }
}

/** Several may make it at once: it is the same. */
async function made(kvs: Kvm, manager: JetStreamManager, bucket: string): Promise<BucketInfo> {
  const make = (replicas: number) =>
    kvs.create(bucket, {
      replicas,
      history: 1,
      max_bytes: MAX_BYTES,
      maxValueSize: MAX_COMMIT_SIZE,
      description: "peers of a fleet of vpn gateways",
    });
  try {
    await make(REPLICAS);
  } catch (error) {
    if (codeOf(error) !== NOT_CLUSTERED) throw error;
    await make(1);
  }
  return (await bucketInfo(manager, bucket))!;
}

function codeOf(error: unknown): number | null {
  return error instanceof JetStreamApiError ? error.code : null;
}

class NatsBucket implements StoreBucket {
  readonly server: string;
  readonly replicas: number;
  readonly closed: Promise<string>;
  readonly #connection: NatsConnection;
  readonly #kv: KV;
  readonly #keys: readonly string[];
  readonly #failed = Promise.withResolvers<string>();

  constructor(
    connection: NatsConnection,
    kv: KV,
    { replicas, keys }: BucketInfo,
  ) {
    this.#connection = connection;
    this.#kv = kv;
    this.#keys = keys;
    this.server = connection.getServer();
    this.replicas = replicas;
    this.closed = Promise.race([
      connection.closed().then((error) => error?.message ?? "the server has closed the connection"),
      this.#failed.promise,
    ]);
  }

  async follow(onEntry: (entry: BucketEntry) => void): Promise<void> {
    // The server's own count of what is still to come is wrong where entries are written meanwhile: too low, and one
    // that was written again is not told of yet; too high, and it never comes down to 0.
    const awaited = new Set(this.#keys);
    const entries = await this.#kv.watch({ key: ">" });
    const loaded = Promise.withResolvers<void>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stalled = guarded("control", "reading the store", () => {
      loaded.reject(new Error("the server stopped sending"));
    });
    const expectMore = () => {
      clearTimeout(timer);
      if (awaited.size === 0) loaded.resolve();
      else timer = setTimeout(stalled, STALL_TIMEOUT);
    };
    expectMore();
    const read = async () => {
      for await (const { key, value, operation, revision } of entries) {
        onEntry({ key, value: operation === "PUT" ? value : null, revision });
        if (awaited.delete(key)) expectMore();
      }
    };
    const end = (reason: string) => {
      loaded.reject(new Error(reason));
      this.#failed.resolve(reason);
    };
    const reading = read().then(
      () => end("the server has ended the reading"),
      (error) => end(errorMessage(error)),
    );
    background("control", "reading the store", reading);
    try {
      await loaded.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async revisionOf(key: string): Promise<number> {
    const entry = await this.#kv.get(key);
    return entry?.revision ?? 0;
  }

  async put(
    key: string,
    value: Uint8Array<ArrayBuffer> | null,
    expected: number,
  ): Promise<number | null> {
    try {
      if (value !== null) return await this.#kv.put(key, value, { previousSeq: expected });
      await this.#kv.delete(key, { previousSeq: expected });
      return await this.revisionOf(key);
    } catch (error) {
      const code = codeOf(error);
      if (REVISION_UNKNOWN.has(code)) {
        await new Promise((resolve) => setTimeout(resolve, UNKNOWN_PAUSE));
      } else if (code !== WRONG_LAST_SEQUENCE) throw error;
      return null;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}
