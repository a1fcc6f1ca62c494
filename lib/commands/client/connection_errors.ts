/** Connection errors: how a client ends that could not connect, or whose server is lost. */
import type { ClientConfig } from "../../core/config/config.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { TRIED } from "./unanswered.ts";

/**
 * @param servers all that were tried, as in `198.51.100.1:51820 and 198.51.100.2:51820`
 * @param reason why nobody has answered, with what to do
 */
export function noAnswer(config: ClientConfig, servers: string, reason: string): AppError {
  const { connectTimeout, transport } = config.interface;
  return new AppError(
    `Cannot connect: no valid answer from ${servers} (${
      TRIED[transport].join(", then ")
    }) within ` +
      `${connectTimeout / 1000} s: ${reason}`,
    { exitCode: ExitCode.connect },
  );
}

/** @param server as in `198.51.100.1:51820` */
export function serverLost(config: ClientConfig, server: string): AppError {
  const { peerTimeout } = config.interface;
  return new AppError(
    `Connection lost: no packet from ${server} for ${
      peerTimeout / 1000
    } s, or it has closed the session: ` +
      "start again when the server is running, or set OnPeerTimeout = reconnect",
    { exitCode: ExitCode.peerLost },
  );
}
