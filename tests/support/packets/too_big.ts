/** "Packet too big" as a forger makes it, who knows addresses and ports, but no session's index. */
import type { Bytes } from "./packet_builder.ts";
import { buildIcmp6, buildUdp6 } from "./packet_builder6.ts";

/** What a router would say to `source` of a transport message to `destination`, of a session that there is not. */
export function tooBig6(
  source: string,
  destination: string,
  [sourcePort, destinationPort]: readonly [number, number],
): Bytes {
  const payload = new Uint8Array(1_400);
  payload[0] = 4;
  const quoted = buildUdp6({ source, destination, sourcePort, destinationPort, payload });
  return buildIcmp6({
    source: destination,
    destination: source,
    type: 2,
    word: 1280,
    payload: quoted.subarray(0, 1_000),
  });
}
