/** Connection words: what the log and the service manager are told of a client's connection. */
import type { ClientAction, ClientMessage, ServerRoute } from "../../core/client/client_action.ts";
import { Transport } from "../../core/transport/transport.ts";
import { formatAddress, formatSocketAddress } from "../../core/wire/host_address.ts";
import { background } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";

/** The transports as a person reads them. */
export const TRANSPORT_NAMES: Readonly<Record<Transport, string>> = {
  [Transport.udp]: "UDP",
  [Transport.fakeTcp]: "fake TCP",
};

/** What an action does, where its failure ends nothing. */
const FAULT_ENTRIES: Partial<Readonly<Record<ClientAction["kind"], string>>> = {
  "say": "recording events",
  "explain-silence": "finding out why the server is silent",
  "read-path": "looking up the route to the server",
  "try-udp": "testing whether UDP works",
  "use-transport": "returning to UDP",
};

export interface Listeners {
  readonly logger: Logger;
  /** Is told, in words, what becomes of the connection. */
  readonly onState: (state: string) => void;
}

/** As in `198.51.100.1:51820 by UDP`. */
export function routeText(route: ServerRoute): string {
  return `${formatSocketAddress(route)} by ${TRANSPORT_NAMES[route.transport]}`;
}

/** Tells it. */
export function tell(message: ClientMessage, { logger, onState }: Listeners): void {
  switch (message.about) {
    case "no-answer": {
      const { last, next, hasSeveral } = message;
      logger.info("no answer over {last}: trying {next}", {
        last: triedText(last, { hasSeveral, other: next }),
        next: triedText(next, { hasSeveral, other: last }),
      });
      break;
    }
    case "lost": {
      const server = formatSocketAddress(message.place);
      logger.warn("no packets from {server}: reconnecting", { server });
      onState(`no packets from ${server}: reconnecting`);
      break;
    }
    case "attempt-failed":
      logger.warn("cannot connect now: {error}", { error: message.error });
      break;
    case "connected-again": {
      const server = routeText(message.route);
      onState(`connected to ${server}`);
      logger.info("reconnected to {server} after {time} s", {
        server,
        time: (message.after / 1000).toFixed(1),
      });
      break;
    }
    case "moved":
      onState(`connected to ${routeText(message.route)}`);
      break;
    case "path-changed":
      logger.info("the route to the server has changed: starting a handshake");
      break;
    case "awake":
      logger.info("resumed after suspend: starting a handshake");
      break;
    case "back-to-udp":
      logger.info("UDP works again: returning to UDP");
      break;
    case "fault": {
      const { action, error } = message;
      background("client", FAULT_ENTRIES[action] ?? "connecting", Promise.reject(error));
    }
  }
}

/** As in `UDP`, or `UDP to 198.51.100.2` where there are several places; with the port where that tells them apart. */
function triedText(
  route: ServerRoute,
  { hasSeveral, other }: { readonly hasSeveral: boolean; readonly other: ServerRoute },
): string {
  const name = TRANSPORT_NAMES[route.transport];
  if (!hasSeveral) return name;
  const isByPort = route.port !== other.port;
  return `${name} to ${isByPort ? formatSocketAddress(route) : formatAddress(route.address)}`;
}
