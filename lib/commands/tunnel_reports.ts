/** Tunnel reports: what the data plane of a server or client reports, as lines of the log. */
import { encodeKey } from "../core/config/values/key_text.ts";
import { bracketed, formatAddress, formatSocketAddress } from "../core/wire/host_address.ts";
import type { DataPlaneListener } from "../dataplane/data_plane_listener.ts";
import { getLogger, type Logger } from "../process/logging.ts";

/** Passes what the data plane reports on to the log. */
export function logReports(logger: Logger): DataPlaneListener {
  const dataPlaneLogger = getLogger("dataplane");
  return {
    onNetworkChange: () => {},
    onUsage: () => {},
    onFleet: () => {},
    onPathMtu: ({ publicKey, name, mtu }) => {
      logger.info("peer {peer}: the path MTU inside the tunnel is {mtu} bytes", {
        peer: name ?? encodeKey(publicKey),
        mtu,
      });
    },
    onLog: ({ level, message }) => {
      if (level === "trace") dataPlaneLogger.trace("{message}", { message });
      else if (level === "info") dataPlaneLogger.info("{message}", { message });
      else dataPlaneLogger.warn("{message}", { message });
    },
    onPeer: ({ event, publicKey, name, endpoint, otherPlace }) => {
      if (otherPlace !== null) {
        logger.warn(
          "peer {peer}: two hosts use its key, at {here} and {there}, and interrupt each other: " +
            "give each its own key",
          {
            peer: name ?? encodeKey(publicKey),
            here: formatSocketAddress(endpoint),
            there: formatSocketAddress(otherPlace),
          },
        );
        return;
      }
      const line = "peer {peer}: {event} ({address}:{port})";
      const values = {
        peer: name ?? encodeKey(publicKey),
        event: event.replace("-", " "),
        address: bracketed(formatAddress(endpoint.address)),
        port: endpoint.port,
      };
      // A client may move as often as it likes, and what runs there is in the status.
      if (event === "endpoint-changed" || event === "recognized") logger.debug(line, values);
      else logger.info(line, values);
    },
  };
}
