/** Control method "capture": packets inside the tunnel, as a file in pcapng that comes in events. */
import { quoted } from "../core/config/config_error.ts";
import { nearestName } from "../core/config/text/nearest.ts";
import { VERSION } from "../process/version.ts";
import type { CaptureRequest } from "../dataplane/captures.ts";
import type { LivePeer } from "./live_peers.ts";
import { isObject, type Params, RequestError } from "./protocol.ts";

/** Bytes of a packet that are kept unless less is asked for: all of them. */
const MAX_SNAP_LENGTH = 262_144;

/** The parameters. */
export interface CaptureParams {
  /** A peer's name or its public key in base64; left out: all peers. */
  readonly peer?: string;
  /** Bytes of a packet that are kept at most; left out: all. */
  readonly snapLength?: number;
}

/** An event: the file's next bytes in base64, whole blocks. */
interface CaptureEvent {
  readonly chunk: string;
}

/**
 * What is asked for.
 *
 * @param peers those of the tunnel, by public key
 * @throws {RequestError}
 */
export function captureRequest(
  params: Params,
  peers: ReadonlyMap<string, Pick<LivePeer, "name">>,
): CaptureRequest {
  const { peer, snapLength = MAX_SNAP_LENGTH }: { peer?: unknown; snapLength?: unknown } = params;
  if (
    typeof snapLength !== "number" || !Number.isInteger(snapLength) || snapLength < 1 ||
    snapLength > MAX_SNAP_LENGTH
  ) {
    throw new RequestError(`Cannot capture: snapLength is not 1 to ${MAX_SNAP_LENGTH}`);
  }
  return {
    publicKey: peer === undefined ? null : publicKeyOf(peer, peers),
    snapLength,
    application: `vpn ${VERSION}`,
  };
}

function publicKeyOf(
  peer: unknown,
  peers: ReadonlyMap<string, Pick<LivePeer, "name">>,
): string {
  if (typeof peer !== "string") throw new RequestError("Cannot capture: peer is not a string");
  if (peers.has(peer)) return peer;
  const names: string[] = [];
  for (const [key, { name }] of peers) {
    if (name === peer) return key;
    if (name !== null) names.push(name);
  }
  const nearest = nearestName(peer, names);
  const remedy = nearest === undefined
    ? "`vpn status` shows names and keys"
    : `did you mean ${quoted(nearest)}?`;
  throw new RequestError(`Cannot capture: there is no peer ${quoted(peer)}: ${remedy}`);
}

export function captureEvent(chunk: Uint8Array<ArrayBuffer>): CaptureEvent {
  return { chunk: chunk.toBase64() };
}

/** The bytes in an event, which only our own program sends. */
export function chunkOf(event: unknown): Uint8Array<ArrayBuffer> {
  if (!isObject(event) || typeof event["chunk"] !== "string") {
    throw new TypeError(
      "Cannot read the captured packets: the running instance is another version of vpn",
    );
  }
  return Uint8Array.fromBase64(event["chunk"]);
}
