/**
 * UAPI server: WireGuard's own socket, `/var/run/wireguard/INTERFACE.sock`, by which `wg show`, `wg set` and other
 * programs with its protocol reach a running tunnel.
 */
import { dirname } from "node:path";
import type { Config } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import {
  formatUapiResult,
  type UapiDevice,
  type UapiDeviceChange,
  uapiDeviceTexts,
  UapiErrno,
  UapiError,
  type UapiRequest,
  UapiRequestReader,
} from "../../core/config/uapi.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import type { Journal } from "../../host/journal/journal.ts";
import { chunked, paced } from "../../process/pace.ts";
import { background } from "../../process/guard.ts";
import { getLogger } from "../../process/logging.ts";
import { userName } from "../../process/user_name.ts";
import { LineSplitter } from "../lines.ts";
import type { LivePeers } from "../live_peers.ts";
import type { LocalConnection } from "../local_connection.ts";
import { LocalSocket } from "../local_socket.ts";
import { RequestError } from "../protocol.ts";
import { liveChanges, refuseFixed } from "./uapi_changes.ts";

/** Where `wg` looks, whatever user it runs as. */
const DIRECTORY = "/var/run/wireguard";
/** Bytes; the longest there is has some 80. */
const MAX_LINE = 1024;
/** Bytes of a request: `wg setconf` for tens of thousands of peers. */
const MAX_REQUEST = 8 * 1024 * 1024;
/** Networks that a line of the log names. */
const MAX_LISTED = 10;

export interface UapiOptions {
  readonly interfaceName: string;
  readonly config: Config;
  readonly port: number;
  /** Of the tunnel's own datagrams; 0 for none. */
  readonly mark: number;
  readonly dataPlane: DataPlaneHandle;
  readonly journal: Journal;
}

/**
 * Listens. Null, and a line in the log, where the socket is another's: of an instance with the same name in another
 * network namespace, say.
 *
 * @throws {Error} where the file cannot be made
 */
export async function openUapi(
  options: UapiOptions,
  peers: LivePeers,
): Promise<LocalSocket | null> {
  const { interfaceName, journal } = options;
  const path = `${DIRECTORY}/${interfaceName}.sock`;
  journal.makeDirectory(dirname(path));
  const socket = await LocalSocket.listen([path], {
    journal,
    onConnection: (connection) => new Conversation(connection, options, peers),
  });
  if (socket === null) {
    getLogger("control").info("another process uses {path}: `wg show` cannot show this tunnel", {
      path,
    });
  }
  return socket;
}

/** What passes on one connection: requests of lines, each ended by an empty one, answered in order. */
class Conversation {
  readonly #connection: LocalConnection;
  readonly #options: UapiOptions;
  readonly #peers: LivePeers;
  readonly #splitter = new LineSplitter(MAX_LINE);
  /** What has come and has not been read yet: no more than a chunk, since no more is taken meanwhile. */
  #lines: (string | null)[] = [];
  #reader = new UapiRequestReader();
  /** Of the request that is being read: its bytes, and what is wrong with it. */
  #size = 0;
  #error: unknown = null;
  #isServing = false;
  #hasEnded = false;

  constructor(connection: LocalConnection, options: UapiOptions, peers: LivePeers) {
    this.#connection = connection;
    this.#options = options;
    this.#peers = peers;
    connection.onData((chunk) => {
      this.#lines.push(...this.#splitter.push(chunk));
      this.#serveMore();
    });
    connection.onEnd(() => {
      this.#hasEnded = true;
      this.#serveMore();
    });
  }

  #serveMore(): void {
    if (this.#isServing) return;
    this.#isServing = true;
    this.#connection.socket.pause();
    background("control", "answering `wg`", this.#serve());
  }

  async #serve(): Promise<void> {
    const connection = this.#connection;
    for (;;) {
      const request = await paced(this.#read());
      if (request === null) break;
      connection.isBusy = true;
      for (const text of await this.#answer(request)) await connection.send(text);
    }
    connection.isBusy = false;
    this.#isServing = false;
    if (this.#hasEnded && this.#lines.length === 0) connection.socket.end();
    else connection.socket.resume();
  }

  /** Reads lines up to the end of a request; null where that has not come yet. */
  *#read(): Generator<
    void,
    { readonly request: UapiRequest } | { readonly error: unknown } | null
  > {
    const lines = this.#lines;
    for (let index = 0; index < lines.length; index++) {
      const line = lines[index]!;
      this.#size += (line?.length ?? 0) + 1;
      if (line === null || this.#size > MAX_REQUEST) {
        this.#connection.close();
        break;
      }
      if (line !== "") this.#add(line);
      else if (!this.#reader.isEmpty || this.#error !== null) {
        this.#lines = lines.slice(index + 1);
        return this.#end();
      }
      yield;
    }
    this.#lines = [];
    return null;
  }

  #add(line: string): void {
    try {
      if (this.#error === null) this.#reader.add(line);
    } catch (error) {
      // What is left of the request is read, and its end answered.
      this.#error = error;
    }
  }

  #end(): { readonly request: UapiRequest } | { readonly error: unknown } {
    const [reader, error] = [this.#reader, this.#error];
    this.#reader = new UapiRequestReader();
    this.#size = 0;
    this.#error = null;
    if (error !== null) return { error };
    try {
      return { request: reader.end() };
    } catch (error) {
      return { error };
    }
  }

  async #answer(
    read: { readonly request: UapiRequest } | { readonly error: unknown },
  ): Promise<readonly string[]> {
    try {
      if ("error" in read) throw read.error;
      const { request } = read;
      if (request.kind === "set") {
        await this.#change(request.change);
        return [formatUapiResult(UapiErrno.ok)];
      }
      return await paced(chunked(uapiDeviceTexts(await describe(this.#options, this.#peers))));
    } catch (error) {
      // `wg` shows no more than the meaning of the number.
      getLogger("control").warn("`wg` made an invalid request: {error}", { error });
      if (error instanceof UapiError) return [formatUapiResult(error.errno)];
      if (error instanceof RequestError) return [formatUapiResult(UapiErrno.invalid)];
      return [formatUapiResult(UapiErrno.failed)];
    }
  }

  async #change(change: UapiDeviceChange): Promise<void> {
    const { config, port, mark } = this.#options;
    refuseFixed(change, { privateKey: config.interface.privateKey, port, mark });
    const { publicKey } = config.interface;
    const by = `${userName(this.#connection.user)} (wg)`;
    await this.#peers.change((before) => liveChanges(change, before, publicKey), { by });
    const carriesIpv6 = config.interface.addresses6.length > 0;
    const ignored = change.peers.flatMap(({ allowedIps, ignoredIps }) => [
      ...allowedIps.map(({ network }) => network)
        .filter((network) => typeof network === "string" && !carriesIpv6),
      ...ignoredIps,
    ]);
    if (ignored.length === 0) return;
    const more = ignored.length - MAX_LISTED;
    getLogger("control").warn("ignored, as IPv6 is not supported: {networks}{more}", {
      networks: ignored.slice(0, MAX_LISTED).join(", "),
      more: more > 0 ? ` and ${more} more` : "",
    });
  }
}

async function describe(
  { config, port, mark, dataPlane }: UapiOptions,
  peers: LivePeers,
): Promise<UapiDevice> {
  // A data plane that has died says nothing; `wg show INTERFACE fwmark` in `PreDown` must still work.
  const { peers: statistics } = await dataPlane.statistics().catch(() => ({ peers: [] }));
  return {
    privateKey: config.interface.privateKey,
    listenPort: port,
    fwMark: mark,
    peers: statistics.map((peer) => ({
      ...peer,
      presharedKey: peers.peers.get(encodeKey(peer.publicKey))?.presharedKey ?? null,
      endpoint: peer.endpoint.port === 0 ? null : peer.endpoint,
    })),
  };
}
