/** Connection errors: how a client ends that could not connect, or whose server is lost. */
import type { ClientConfig } from "../../core/config/config.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import type { Connection } from "./connection.ts";
import { TRIED } from "./unanswered.ts";

/** Where a server was, as in `198.51.100.1:51820`, and all that were tried, as in `198.51.100.1:51820 and ...`. */
type Places = Pick<Connection, "server" | "servers">;

/**
 * @param reason why nobody has answered, with what to do
 */
export function noAnswer(
  { endpoints, interface: { connectTimeout, transport } }: ClientConfig,
  { servers }: Pick<Places, "servers">,
  reason: string,
): AppError {
  const each = endpoints.length > 1 ? " each" : "";
  return new AppError(
    `Cannot connect: no valid answer from ${servers} (${
      TRIED[transport].join(", then ")
    }) within ` +
      `${connectTimeout / 1000} s${each}: ${reason}`,
    { exitCode: ExitCode.connect },
  );
}

/** Of several endpoints, all were tried before this was the end. */
export function serverLost(
  { endpoints, interface: { peerTimeout } }: ClientConfig,
  { server, servers }: Places,
): AppError {
  const lost = endpoints.length > 1
    ? `none of ${servers} answers any more`
    : `no packet from ${server} for ${peerTimeout / 1000} s, or it has closed the session`;
  return new AppError(
    `Connection lost: ${lost}: start again when the server is running, or set OnPeerTimeout = reconnect`,
    { exitCode: ExitCode.peerLost },
  );
}
