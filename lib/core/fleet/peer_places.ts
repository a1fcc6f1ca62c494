/**
 * Peer places: what a gateway tells the others of peers, so that they know whose each is, and can take it over: by
 * which claim, where it is, and which of its initiations are replays by now.
 *
 * ```text
 * body: records of 80 bytes
 *  0  public key                 32
 * 32  endpoint: IPv4, port       6
 * 38  whether it writes to the virtual address   1
 * 39  TAI64N of its newest initiation            12
 * 51  ms since it was last heard                 4
 * 55  claim: gateway                             1
 * 56  TAI64N of the peer's initiation            12
 * 68  TAI64N of the gateway's                    12
 * ```
 */
import type { Claim } from "./claim.ts";
import { FRAME_SIZE, meshBodySize, MeshKind, meshKind, writeFrame } from "./mesh/mesh_messages.ts";

const RECORD_SIZE = 80;
const KEY_SIZE = 32;
const TIMESTAMP_SIZE = 12;
/** Records of a message. */
export const PLACES_AT_ONCE = 17;
/** ms; nobody is asked for who has been silent for longer. */
const LONGEST_SILENCE = 0xffff_ffff;

export interface FleetPlace {
  readonly claim: Claim;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Host order; 0, as the port, where it cannot be taken over. */
  readonly address: number;
  readonly port: number;
  readonly isByVirtual: boolean;
  /** 12 bytes. */
  readonly timestamp: Uint8Array;
  /** ms */
  readonly silence: number;
}

/** A message of at most `PLACES_AT_ONCE` places. */
export function placesMessage(places: readonly FleetPlace[]): Uint8Array<ArrayBuffer> {
  const size = places.length * RECORD_SIZE;
  const bytes = new Uint8Array(FRAME_SIZE + size);
  const view = new DataView(bytes.buffer);
  writeFrame(view, 0, MeshKind.places, size);
  let at = FRAME_SIZE;
  for (const { publicKey, address, port, isByVirtual, timestamp, silence, claim } of places) {
    bytes.set(publicKey, at);
    bytes[at + 55] = claim.gateway;
    bytes.set(claim.ofPeer, at + 56);
    bytes.set(claim.ofGateway, at + 68);
    view.setUint32(at + 32, address);
    view.setUint16(at + 36, port);
    bytes[at + 38] = isByVirtual ? 1 : 0;
    bytes.set(timestamp, at + 39);
    view.setUint32(at + 51, Math.max(0, Math.min(LONGEST_SILENCE, Math.round(silence))));
    at += RECORD_SIZE;
  }
  return bytes;
}

/** The places of a message, which padding may follow; null for another message, or one that is cut off. */
export function readPlaces(bytes: Uint8Array): FleetPlace[] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (meshKind(view, 0, bytes.length) !== MeshKind.places) return null;
  const size = meshBodySize(view, 0);
  if (size % RECORD_SIZE !== 0) return null;
  return Array.from({ length: size / RECORD_SIZE }, (_, index) => {
    const at = FRAME_SIZE + index * RECORD_SIZE;
    const timestampAt = (offset: number) => bytes.slice(at + offset, at + offset + TIMESTAMP_SIZE);
    return {
      claim: {
        gateway: bytes[at + 55]!,
        ofPeer: timestampAt(56),
        ofGateway: timestampAt(68),
      },
      publicKey: bytes.slice(at, at + KEY_SIZE),
      address: view.getUint32(at + 32),
      port: view.getUint16(at + 36),
      isByVirtual: bytes[at + 38] === 1,
      timestamp: timestampAt(39),
      silence: view.getUint32(at + 51),
    };
  });
}
