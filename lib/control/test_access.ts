/** Access test: what the access rules of a running gateway say of a packet, as the control socket is asked. */
import type { AccessService } from "../core/config/config.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import type { TrialResult } from "../core/peers/access_trial.ts";
import { parseAddress } from "../core/wire/host_address.ts";
import type { LivePeers } from "./live_peers.ts";
import { type Params, RequestError } from "./protocol.ts";

const PROTOCOLS: readonly AccessService["protocol"][] = ["tcp", "udp", "icmp", "gre", "esp"];

/**
 * The answer.
 *
 * @param params `peer`, by name or public key, `protocol`, `address`, `port`
 * @throws {RequestError} for a peer that is not there, and for what is no packet
 */
export function testAccess(
  params: Params,
  peers: Pick<LivePeers, "access" | "testAccess">,
): TrialResult {
  const { peer: name, protocol: given, address, port } = params;
  const peer = peers.access().find((each) =>
    each.name === name || encodeKey(each.publicKey) === name
  );
  if (peer === undefined) {
    throw new RequestError(`Cannot test access: there is no peer ${JSON.stringify(name)}`);
  }
  if (!peer.isAdmitted) {
    throw new RequestError(`Cannot test access: peer ${JSON.stringify(name)} is kept out`);
  }
  const protocol = PROTOCOLS.find((each) => each === given);
  const destination = typeof address === "string" ? parseAddress(address) : null;
  const isPort = port === null || (typeof port === "number" && port >= 1 && port <= 65535);
  if (protocol === undefined || destination === null || !isPort) {
    throw new RequestError("Cannot test access: give a protocol, an address and a port");
  }
  return peers.testAccess({ from: encodeKey(peer.publicKey), protocol, destination, port });
}
