/**
 * Successor: another key of a peer, which takes the place of the one it has with the first packet under it. Until then
 * both may begin handshakes; each has its own cookies and its own greatest timestamp, as two hosts' clocks may differ.
 */
import { CookieGenerator } from "../noise/cookie.ts";
import type { KeyPair } from "../noise/key_pair.ts";
import { KEY_SIZE } from "../wire/messages.ts";
import type { PeerSession } from "./session/peer_session.ts";

/** What a handshake needs of the peer that begins it. */
export interface HandshakeParty {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly staticSecret: Uint8Array | null;
  readonly cookies: CookieGenerator;
  latestTimestamp: Uint8Array;
  initiationReceivedAt: number;
}

/** Keys of 32 bytes each. */
export interface SuccessorOptions {
  readonly publicKey: Uint8Array;
  /** Left out, the protocol uses zero bytes. */
  readonly presharedKey?: Uint8Array | null;
}

export class Successor implements HandshakeParty {
  /** Of the peer whose key it is to be. */
  readonly peerIndex: number;
  readonly publicKey: Uint8Array;
  presharedKey: Uint8Array;
  readonly staticSecret: Uint8Array | null;
  readonly cookies: CookieGenerator;
  latestTimestamp: Uint8Array = new Uint8Array(12);
  initiationReceivedAt = -Infinity;
  /** Of the last handshake; the first packet under it confirms it, and makes this key the peer's. */
  session: PeerSession | null = null;

  constructor(peerIndex: number, { publicKey, presharedKey }: SuccessorOptions, identity: KeyPair) {
    this.peerIndex = peerIndex;
    this.publicKey = publicKey;
    this.presharedKey = presharedKey ?? new Uint8Array(KEY_SIZE);
    this.cookies = new CookieGenerator(publicKey);
    const secret = new Uint8Array(KEY_SIZE);
    this.staticSecret = identity.agree(publicKey, secret) ? secret : null;
  }
}
