/** Client actions: everything that the state machine of a client's connection asks for, as values. */
import type { Transport } from "../transport/transport.ts";
import type { SocketAddress } from "../wire/socket_address.ts";
import type { HostAddress } from "../wire/host_address.ts";

/** One place of the server, by one transport. */
export interface ServerRoute extends SocketAddress {
  readonly transport: Transport;
}

/** What a person is told; the words are the caller's. */
export type ClientMessage =
  | {
    readonly about: "no-answer";
    readonly last: ServerRoute;
    readonly next: ServerRoute;
    /** Whether the server has several places, so that a route is only told by naming its own. */
    readonly hasSeveral: boolean;
  }
  /** The server is lost, and is connected to again. */
  | { readonly about: "lost"; readonly place: SocketAddress }
  /** An attempt could not be made; the next one follows. */
  | { readonly about: "attempt-failed"; readonly error: unknown }
  /** `after`: ms since the loss */
  | { readonly about: "connected-again"; readonly route: ServerRoute; readonly after: number }
  /** Connected to the server that the configuration names now. */
  | { readonly about: "moved"; readonly route: ServerRoute }
  | { readonly about: "path-changed" }
  | { readonly about: "awake" }
  | { readonly about: "back-to-udp" }
  /** An action failed on which nothing depends. */
  | { readonly about: "fault"; readonly action: ClientAction["kind"]; readonly error: unknown };

export type ClientAction =
  /** Look up the addresses of all endpoints, outside the tunnel; answer with `looked-up`. */
  | { readonly kind: "look-up"; readonly id: number }
  /** The configured server is the one that the commands below mean. */
  | { readonly kind: "set-server" }
  | { readonly kind: "set-endpoint"; readonly place: SocketAddress }
  /** Read the path of packets to this address; answer with `path-read`. */
  | { readonly kind: "read-path"; readonly address: HostAddress }
  /** Use this transport from now on; answer with `transport-ready`. */
  | ({ readonly kind: "use-transport"; readonly id: number } & ServerRoute)
  /** Begin handshakes, repeated every `interval` ms until `stop-repeating`. */
  | { readonly kind: "initiate"; readonly interval: number }
  | { readonly kind: "stop-repeating" }
  /** Begin one handshake at once, though there is a session. */
  | { readonly kind: "re-handshake" }
  /** Ask the server by UDP, while fake TCP is in use; an answer comes as `udp-works`. */
  | { readonly kind: "try-udp" }
  | { readonly kind: "say"; readonly message: ClientMessage }
  /** Say why the server does not answer, unless it has by then: the first attempt since the loss has failed. */
  | { readonly kind: "explain-silence" }
  /** The first connection stands: set up the host, then say `host-ready`. */
  | { readonly kind: "connected" }
  /** The answer to `server-moved`: where there is no connection, it is tried on. */
  | { readonly kind: "moved"; readonly isConnected: boolean }
  | { readonly kind: "move-failed"; readonly error: unknown }
  /** The end, one of three; nothing comes after it. No place of the server answered the first attempt. */
  | { readonly kind: "no-answer" }
  /** The first attempt could not be made. */
  | { readonly kind: "start-failed"; readonly error: unknown }
  /** The server is lost, at all its endpoints, and `OnPeerTimeout = exit`. */
  | { readonly kind: "peer-lost" };
