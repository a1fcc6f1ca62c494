/** Control: the sockets by which a running server or client is asked, and its answer to each method. */
import type { Config } from "../core/config/config.ts";
import { joint } from "../core/limits/joint_answer.ts";
import type { DataPlaneHandle } from "../dataplane/data_plane_handle.ts";
import type { Journal } from "../host/journal/journal.ts";
import { getLogger, type LogControl } from "../process/logging.ts";
import type { HostNetwork, InterfaceSettings } from "../host/network/host_network.ts";
import type { ReloadResult } from "./reload.ts";
import { chunked, paced } from "../process/pace.ts";
import { userName } from "../process/user_name.ts";
import { captureEvent, captureRequest } from "./capture.ts";
import type { Accounts } from "./accounts.ts";
import type { StoreStatus } from "./fleet/store_status.ts";
import type { LivePeers } from "./live_peers.ts";
import { changeLevels } from "./log_levels.ts";
import { livePeer, publicKeyOf } from "./peer_params.ts";
import { type Caller, type Handler, JsonChunks } from "./protocol.ts";
import { openConsoleSocket } from "./console_socket.ts";
import { ControlServer } from "./server.ts";
import { drainService, type PublishedControl } from "./services.ts";
import { type StatusFrame, statusOf, statusTexts } from "./status.ts";
import { openUapi } from "./uapi/uapi_server.ts";

/** What the system says of a folder that may not be written to, has no room, or that somebody removes meanwhile. */
const REFUSALS: ReadonlySet<unknown> = new Set(["EACCES", "EPERM", "EROFS", "ENOSPC", "ENOENT"]);

/** A tunnel that is up. */
export interface RunningTunnel {
  readonly role: "server" | "client";
  readonly interfaceName: string;
  /** What `--netns` named; null for the namespace that it was started in. */
  readonly netns: string | null;
  readonly config: Config;
  /** The UDP port that it listens on. */
  readonly port: number;
  /** The mark of its own datagrams; 0 for none. */
  readonly mark: number;
  /** What ciphers. */
  readonly aead: string;
  /** How many threads move the packets, and why. */
  readonly threads: StatusFrame["threads"];
  readonly dataPlane: DataPlaneHandle;
  readonly network: HostNetwork;
  readonly settings: InterfaceSettings;
  readonly journal: Journal;
  /** What of it others take away again and again, in words. */
  readonly degraded: () => readonly string[];
  /** How it reaches the store of its peers; null where it has none. */
  readonly store: () => StoreStatus | null;
  /** How much it logs. */
  readonly log: LogControl;
  readonly peers: LivePeers;
  /** Null at a client. */
  readonly accounts: Accounts | null;
  /** Null where there is no DNS proxy. */
  readonly dnsProxy: StatusFrame["dnsProxy"];
  /** Null at a client. */
  readonly published: PublishedControl | null;
  /** Reads the configuration again; `by` says who asks. */
  readonly reload: (by: string) => Promise<ReloadResult>;
  /** What a gateway offers besides, by the method's name; none at a client. */
  readonly application: Readonly<Record<string, Handler>>;
}

/** Opens the control socket, and WireGuard's where `wg` would find it: that is root's alone. */
export async function openControl(tunnel: RunningTunnel): Promise<AsyncDisposable> {
  const { interfaceName, journal } = tunnel;
  await using sockets = new AsyncDisposableStack();
  const handlers = controlHandlers(tunnel);
  sockets.use(await ControlServer.open({ interfaceName, journal, handlers }));
  const { controlGroup } = tunnel.config.interface;
  if (tunnel.role === "server" && controlGroup !== null) {
    const { status } = handlers;
    const offered = { status: status!, ...tunnel.application };
    sockets.use(
      await openConsoleSocket(controlGroup, { interfaceName, journal, handlers: offered }),
    );
  }
  if (Deno.uid() === 0) sockets.use(await tryUapi(tunnel));
  return sockets.move();
}

/** A tunnel is of use without `wg`, and a sandbox may have that folder read-only. */
async function tryUapi(tunnel: RunningTunnel): Promise<AsyncDisposable | null> {
  try {
    return await openUapi(tunnel, tunnel.peers);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && REFUSALS.has(error.code))) throw error;
    getLogger("control").warn("`wg show` cannot show this tunnel: {error}", { error });
    return null;
  }
}

/** Where a tunnel's configuration is. */
export interface ConfigurationPlace {
  /** With no link in its path; null where nothing is there any more. */
  readonly file: string | null;
}

function configurationOf({ config }: RunningTunnel): ConfigurationPlace {
  try {
    return { file: Deno.realPathSync(config.fileName) };
  } catch {
    return { file: null };
  }
}

function by({ user }: Caller): { readonly by: string } {
  return { by: userName(user) };
}

/** What the control socket offers, by the method's name. */
function controlHandlers(tunnel: RunningTunnel): Readonly<Record<string, Handler>> {
  const { peers } = tunnel;
  const frame = { ...tunnel, since: new Date() };
  const status = joint(async () => {
    const now = await statusOf(tunnel.dataPlane, frame);
    return new JsonChunks(await paced(chunked(statusTexts(now))));
  });
  return {
    "status": status,
    "add-peer": (params, _emit, _signal, caller) => {
      return peers.change([{ kind: "put", peer: livePeer(params) }], by(caller));
    },
    "remove-peer": (params, _emit, _signal, caller) => {
      return peers.change([{ kind: "remove", publicKey: publicKeyOf(params) }], by(caller));
    },
    ...tunnel.application,
    "configuration": () => Promise.try(() => configurationOf(tunnel)),
    "capture": async (params, emit, signal) => {
      const request = captureRequest(params, peers.peers);
      const logger = getLogger("control");
      const of = request.publicKey === null ? "all peers" : `peer ${params["peer"]}`;
      logger.info("capturing packets of {of}", { of });
      const onChunk = (chunk: Uint8Array<ArrayBuffer>) => emit(captureEvent(chunk));
      const counts = await tunnel.dataPlane.capture(request, { onChunk, signal });
      logger.info("captured {packets} packets of {of}, {dropped} more were dropped (buffer full)", {
        of,
        ...counts,
      });
      return counts;
    },
    "drain-service": (params) => Promise.try(() => drainService(params, tunnel.published)),
    "reload": (_params, _emit, _signal, { user }) => tunnel.reload(userName(user)),
    "log": (params) => Promise.resolve(changeLevels(params, tunnel)),
  };
}
