/** Peer facts: what a gateway that runs knows of a client, beside what its file says. */
import { ControlClient } from "../../control/client.ts";
import { gatewaysOf } from "../../control/peers.ts";
import type { PeerStatus, Status } from "../../control/status.ts";
import type { Config } from "../../core/config/config.ts";
import { AppError } from "../../process/errors.ts";

/** ms; one that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 2_000;

/** A client as the gateway knows it that runs from this file; null where none does, or none that answers. */
export async function runningPeer(config: Config, publicKey: string): Promise<PeerStatus | null> {
  try {
    const [gateway] = await gatewaysOf(config.interface.publicKey);
    if (gateway === undefined) return null;
    using client = await ControlClient.connect(gateway);
    const { peers } = await client.request("status", {}, { timeout: ANSWER_TIMEOUT }) as Status;
    return peers.find((peer) => peer.publicKey === publicKey) ?? null;
  } catch (error) {
    // It is not this user's to ask, or is ending: what the file says is all there is then.
    if (!(error instanceof AppError)) throw error;
    return null;
  }
}

/** The same for a person; nothing of one that is not known. */
export function liveRows(peer: PeerStatus | null): string[][] {
  if (peer === null) return [];
  const { presence, endpoint, latestHandshake, received, sent } = peer;
  return [
    ["running gateway", presence === "never" ? "not seen yet" : presence],
    ...presence === "never" ? [] : [
      ["endpoint", endpoint ?? "-"],
      ["latest handshake", latestHandshake ?? "never"],
      ["received, sent", `${received} bytes, ${sent} bytes`],
    ],
  ];
}
