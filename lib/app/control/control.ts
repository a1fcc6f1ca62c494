/** Owns the ways in which a running server or client can be talked to, and what it does when it is. */
import type { Config } from "../../config/config.ts";
import type { DataPlaneHandle } from "../data_plane_handle.ts";
import type { Journal } from "../journal.ts";
import { getLogger } from "../logging.ts";
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
  readonly journal: Journal;
}

/** Opens the control socket. A tunnel is of use without it, so what cannot be opened is a warning. */
export async function openControl(tunnel: RunningTunnel): Promise<AsyncDisposable> {
  const { interfaceName, journal } = tunnel;
  const sockets = new AsyncDisposableStack();
  try {
    const handlers = controlHandlers(tunnel);
    sockets.use(await ControlServer.open({ interfaceName, journal, handlers }));
  } catch (error) {
    getLogger("control").warn(
      "`vpn status` and the like will not find this process: {error}",
      { error },
    );
  }
  return sockets;
}

/** What the control socket offers, by the method's name. */
function controlHandlers(tunnel: RunningTunnel): Readonly<Record<string, Handler>> {
  const frame = { ...tunnel, since: new Date() };
  return {
    status: () => statusOf(tunnel.dataPlane, frame),
  };
}
