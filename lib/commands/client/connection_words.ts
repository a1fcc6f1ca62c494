/** Connection words: what the log and the service manager are told of a client's connection. */
import type { ClientAction, ClientMessage, ServerRoute } from "../../core/client/client_action.ts";
import { Transport } from "../../core/transport/transport.ts";
import {
  formatAddress,
  formatSocketAddress,
  type HostAddress,
} from "../../core/wire/host_address.ts";
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

/** As in `198.51.100.1:51820`. */
export function serverText(address: HostAddress, port: number): string {
  return formatSocketAddress({ address, port });
}

/** As in `198.51.100.1:51820 by UDP`. */
export function routeText({ address, transport }: ServerRoute, port: number): string {
  return `${serverText(address, port)} by ${TRANSPORT_NAMES[transport]}`;
}

/** Tells it. `port`: the server's. */
export function tell(message: ClientMessage, port: number, { logger, onState }: Listeners): void {
  switch (message.about) {
    case "no-answer": {
      const { last, next, hasSeveral } = message;
      logger.info("no answer over {last}: trying {next}", {
        last: triedText(last, hasSeveral),
        next: triedText(next, hasSeveral),
      });
      break;
    }
    case "lost": {
      const server = serverText(message.address, port);
      logger.warn("no packets from {server}: reconnecting", { server });
      onState(`no packets from ${server}: reconnecting`);
      break;
    }
    case "attempt-failed":
      logger.warn("cannot connect now: {error}", { error: message.error });
      break;
    case "connected-again": {
      const server = routeText(message.route, port);
      onState(`connected to ${server}`);
      logger.info("reconnected to {server} after {time} s", {
        server,
        time: (message.after / 1000).toFixed(1),
      });
      break;
    }
    case "moved":
      onState(`connected to ${routeText(message.route, port)}`);
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

/** As in `UDP`, or `UDP to 198.51.100.2` where there are several addresses. */
function triedText({ address, transport }: ServerRoute, hasSeveral: boolean): string {
  const name = TRANSPORT_NAMES[transport];
  return hasSeveral ? `${name} to ${formatAddress(address)}` : name;
}
