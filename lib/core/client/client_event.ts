/** Client events: everything that the state machine of a client's connection is told, as values. */
import type { Transport } from "../transport/transport.ts";
import type { HostAddress } from "../wire/host_address.ts";
import type { SocketAddress } from "../wire/socket_address.ts";
import type { ClientAction } from "./client_action.ts";
import type { ServerPlace } from "./server_places.ts";

/** The part of a configuration that decides about the connection. */
export interface ClientSettings {
  /** ms in which a server must answer at one of its endpoints, by all addresses and transports together. */
  readonly connectTimeout: number;
  readonly onPeerTimeout: "reconnect" | "exit";
}

export type ClientEvent =
  /** Connect; where the addresses at hand may be old, look the server's names up first. */
  | { readonly kind: "start"; readonly lookUpFirst: boolean }
  /** The host is set up: a loss is acted on from now on. One that came before is remembered until now. */
  | { readonly kind: "host-ready" }
  /** The server has authenticated itself: from there by a handshake, null for another packet. */
  | { readonly kind: "peer-up"; readonly from: SocketAddress | null }
  /** The server is silent, or said goodbye. */
  | { readonly kind: "peer-down" }
  /** The server has answered by UDP while fake TCP is in use. */
  | { readonly kind: "udp-works" }
  /** Addresses, links, routes or rules of the host have changed. */
  | { readonly kind: "network-changed" }
  /** The answer to `read-path`: a text that differs when packets take another path; empty for none. */
  | { readonly kind: "path-read"; readonly address: HostAddress; readonly path: string }
  /** The machine has slept. */
  | { readonly kind: "woke" }
  /** The answer to `look-up`. */
  | { readonly kind: "looked-up"; readonly id: number; readonly places: readonly ServerPlace[] }
  /** The answer to `use-transport`. */
  | { readonly kind: "transport-ready"; readonly id: number; readonly transport: Transport }
  /** An action could not be performed. */
  | { readonly kind: "action-failed"; readonly action: ClientAction; readonly error: unknown }
  /** The configuration has changed; the server is the same at the same places. */
  | { readonly kind: "reconfigured"; readonly settings: ClientSettings }
  /** The configuration names another server, or other places of it; answered by `moved` or `move-failed`. */
  | {
    readonly kind: "server-moved";
    readonly settings: ClientSettings;
    readonly places: readonly ServerPlace[];
  }
  | { readonly kind: "stop" }
  /** `dueAt` is reached. */
  | { readonly kind: "time" };
