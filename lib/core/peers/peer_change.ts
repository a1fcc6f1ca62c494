/** Peer changes: those of a running tunnel, and their form as JSON on the way to the data plane. */
import { decodeKey, encodeKey } from "../config/values/key_text.ts";
import type { PeerOptions } from "../wireguard/peer.ts";
import type { SuccessorOptions } from "../wireguard/successor.ts";

/** What becomes of a peer. */
export type PeerChange =
  /** It is added or, where there is one with its key, has these settings from now on, its session kept. */
  | { readonly kind: "put"; readonly peer: PeerOptions }
  /** It is gone; that there was none is no error. */
  | { readonly kind: "remove"; readonly publicKey: Uint8Array };

interface KeyTexts {
  readonly publicKey: string;
  readonly presharedKey: string | null;
}

/** The same, keys being text. */
export type PeerChangeText =
  | {
    readonly kind: "put";
    readonly peer: Omit<PeerOptions, keyof KeyTexts | "nextKey"> & KeyTexts & {
      readonly nextKey: KeyTexts | null;
    };
  }
  | { readonly kind: "remove"; readonly publicKey: string };

/**
 * Changes as text, in parts for a message each, which are made as they are asked for.
 *
 * @param limit bytes of a part's JSON; a change that is longer is a part of its own
 */
export function* peerChangeTexts(
  changes: readonly PeerChange[],
  limit: number,
): Generator<PeerChangeText[]> {
  let part: PeerChangeText[] = [];
  let room = limit;
  for (const change of changes) {
    const text = peerChangeText(change);
    // A peer's name may be in any script.
    const length = new TextEncoder().encode(JSON.stringify(text)).length + 1;
    if (length > room && part.length > 0) {
      yield part;
      part = [];
      room = limit;
    }
    part.push(text);
    room -= length;
  }
  if (part.length > 0) yield part;
}

function peerChangeText(change: PeerChange): PeerChangeText {
  if (change.kind === "remove") return { ...change, publicKey: encodeKey(change.publicKey) };
  const { nextKey } = change.peer;
  return {
    kind: "put",
    peer: {
      ...change.peer,
      ...keyTexts(change.peer),
      nextKey: nextKey ? keyTexts(nextKey) : null,
    },
  };
}

function keyTexts(
  { publicKey, presharedKey }: Pick<PeerOptions, "publicKey" | "presharedKey">,
): KeyTexts {
  return {
    publicKey: encodeKey(publicKey),
    presharedKey: presharedKey ? encodeKey(presharedKey) : null,
  };
}

/**
 * The change that a text stands for.
 *
 * @throws {RangeError} for a key that is none, which `peerChangeTexts()` never writes
 */
export function parsePeerChange(text: PeerChangeText): PeerChange {
  if (text.kind === "remove") return { ...text, publicKey: key(text.publicKey) };
  const { nextKey } = text.peer;
  return {
    kind: "put",
    peer: { ...text.peer, ...keys(text.peer), nextKey: nextKey === null ? null : keys(nextKey) },
  };
}

function keys({ publicKey, presharedKey }: KeyTexts): Required<SuccessorOptions> {
  return {
    publicKey: key(publicKey),
    presharedKey: presharedKey === null ? null : key(presharedKey),
  };
}

function key(text: string): Uint8Array {
  const bytes = decodeKey(text);
  if (bytes === null) throw new RangeError("Cannot change a peer: its key is not valid");
  return bytes;
}
