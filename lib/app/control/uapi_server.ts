/**
 * Owns WireGuard's own socket, `/var/run/wireguard/INTERFACE.sock`, by which `wg show`, `wg set` and whatever else speaks its
 * protocol reach a running tunnel.
 */
import type { Socket } from "node:net";
import { dirname } from "node:path";
import type { Config } from "../../config/config.ts";
import { encodeKey } from "../../config/key_text.ts";
import {
  formatUapiDevice,
  formatUapiResult,
  parseUapiRequest,
  type UapiDevice,
  UapiErrno,
  UapiError,
} from "../../config/uapi.ts";
import type { DataPlaneHandle } from "../data_plane_handle.ts";
import type { Journal } from "../journal.ts";
import { background, guarded } from "../guard.ts";
import { getLogger } from "../logging.ts";
import { LineSplitter } from "./lines.ts";
import type { LivePeers } from "./live_peers.ts";
import { LocalSocket } from "./local_socket.ts";
import { RequestError } from "./protocol.ts";
import { liveChanges, refuseFixed } from "./uapi_changes.ts";

/** Where `wg` looks, whatever user it runs as. */
const DIRECTORY = "/var/run/wireguard";
/** Bytes; the longest there is has some 80. */
const MAX_LINE = 1024;
/** Lines of a request: `wg setconf` for thousands of peers. */
const MAX_LINES = 100_000;

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
 * Listens. Null, and a line in the log, where the socket is another's: of an instance with the same name in another network
 * namespace, say.
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
    onConnection: (connection) =>
      new Conversation(connection, (lines) => answer(lines, options, peers)),
  });
  if (socket === null) {
    getLogger("control").info("{path} is another process's: `wg show` does not know this tunnel", {
      path,
    });
  }
  return socket;
}

/** What passes on one connection: requests of lines, each ended by an empty one, answered in order. */
class Conversation {
  readonly #socket: Socket;
  readonly #answer: (lines: readonly string[]) => Promise<string>;
  readonly #splitter = new LineSplitter(MAX_LINE);
  #lines: string[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(socket: Socket, answer: (lines: readonly string[]) => Promise<string>) {
    this.#socket = socket;
    this.#answer = answer;
    const on = (event: "data" | "end", handler: (chunk: Uint8Array) => void) =>
      socket.on(event, guarded("control", "serving a connection of `wg`", handler));
    on("data", (chunk) => this.#splitter.push(chunk).forEach((line) => this.#take(line)));
    on("end", () => this.#then(() => Promise.resolve(socket.end())));
  }

  #take(line: string | null): void {
    if (line === null || this.#lines.length === MAX_LINES) {
      this.#socket.destroy();
    } else if (line !== "") {
      this.#lines.push(line);
    } else {
      const lines = this.#lines;
      this.#lines = [];
      this.#socket.pause();
      this.#then(async () => {
        this.#socket.write(await this.#answer(lines));
        this.#socket.resume();
      });
    }
  }

  /** Does this behind all that is to be done before. */
  #then(work: () => Promise<unknown>): void {
    this.#last = this.#last.then(work);
    background("control", "answering `wg`", this.#last);
  }
}

async function answer(
  lines: readonly string[],
  options: UapiOptions,
  peers: LivePeers,
): Promise<string> {
  try {
    const request = parseUapiRequest(lines);
    if (request.kind === "get") return formatUapiDevice(await describe(options, peers));
    const { change } = request;
    const { config, port, mark } = options;
    refuseFixed(change, { privateKey: config.interface.privateKey, port, mark });
    const ignored = change.peers.flatMap(({ ignoredIps }) => ignoredIps);
    await peers.change((before) => liveChanges(change, before));
    if (ignored.length > 0) {
      getLogger("control").warn("not carried, as the tunnel has no IPv6: {networks}", {
        networks: ignored.join(", "),
      });
    }
    return formatUapiResult(UapiErrno.ok);
  } catch (error) {
    // `wg` shows no more than the meaning of the number.
    getLogger("control").warn("`wg` asked for what cannot be: {error}", { error });
    if (error instanceof UapiError) return formatUapiResult(error.errno);
    if (error instanceof RequestError) return formatUapiResult(UapiErrno.invalid);
    return formatUapiResult(UapiErrno.failed);
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
