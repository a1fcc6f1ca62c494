/** Connection errors: how a client ends that could not connect, or whose server is lost. */
import type { ClientConfig } from "../../core/config/config.ts";
import { Carrier } from "../../core/transport/endpoint.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { TRANSPORT_NAMES } from "./connection_words.ts";
import { explainSilence, type Silence } from "./unanswered.ts";

/** By `Transport`, the transports that are tried. */
const TRIED = {
  udp: [TRANSPORT_NAMES[Carrier.udp]],
  faketcp: [TRANSPORT_NAMES[Carrier.fakeTcp]],
  auto: [TRANSPORT_NAMES[Carrier.udp], TRANSPORT_NAMES[Carrier.fakeTcp]],
} as const;

/** @param servers all that were tried, as in `198.51.100.1:51820 and 198.51.100.2:51820` */
export function noAnswer(
  config: ClientConfig,
  servers: string,
  seen: Pick<Silence, "refusal" | "sendError" | "unfitting">,
): AppError {
  const { connectTimeout, transport } = config.interface;
  const transports = TRIED[transport];
  const protocols = transports.map((name) => name.replace("fake ", ""));
  const { port } = config.server.endpoint;
  return new AppError(
    `Cannot connect: no valid answer from ${servers} (${transports.join(", then ")}) within ` +
      `${connectTimeout / 1000} s: ${explainSilence({ ...seen, protocols, port })}`,
    { exitCode: ExitCode.connect },
  );
}

/** @param server as in `198.51.100.1:51820` */
export function serverLost(config: ClientConfig, server: string): AppError {
  const { peerTimeout } = config.interface;
  return new AppError(
    `Connection lost: nothing from ${server} for ${peerTimeout / 1000} s, or it said goodbye: ` +
      "start again when it is there, or set OnPeerTimeout = reconnect",
    { exitCode: ExitCode.peerLost },
  );
}
