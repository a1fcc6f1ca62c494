/** Owns the ways in which a running server or client can be talked to, and what it does when it is. */
import type { Config } from "../../config/config.ts";
import type { DataPlaneHandle } from "../data_plane_handle.ts";
import type { Journal } from "../journal.ts";
import type { HostNetwork, InterfaceSettings } from "../host_network.ts";
import { LivePeers } from "./live_peers.ts";
import { livePeer, publicKeyOf } from "./peer_params.ts";
import type { Handler } from "./protocol.ts";
import { ControlServer } from "./server.ts";
import { statusOf } from "./status.ts";

/** A tunnel that is up. */
export interface RunningTunnel {
  readonly role: "server" | "client";
  readonly interfaceName: string;
  readonly config: Config;
  /** The UDP port that it listens on. */
  readonly port: number;
  /** What ciphers. */
  readonly aead: string;
  readonly dataPlane: DataPlaneHandle;
  readonly network: HostNetwork;
  readonly settings: InterfaceSettings;
  readonly journal: Journal;
}

/** Opens the control socket. */
export async function openControl(tunnel: RunningTunnel): Promise<AsyncDisposable> {
  const { interfaceName, journal } = tunnel;
  const sockets = new AsyncDisposableStack();
  const handlers = controlHandlers(tunnel, new LivePeers(tunnel));
  sockets.use(await ControlServer.open({ interfaceName, journal, handlers }));
  return sockets;
}

/** What the control socket offers, by the method's name. */
function controlHandlers(
  tunnel: RunningTunnel,
  peers: LivePeers,
): Readonly<Record<string, Handler>> {
  const frame = { ...tunnel, since: new Date() };
  return {
    "status": () => statusOf(tunnel.dataPlane, frame),
    "add-peer": (params) => peers.change([{ kind: "put", peer: livePeer(params) }]),
    "remove-peer": (params) => peers.change([{ kind: "remove", publicKey: publicKeyOf(params) }]),
  };
}
