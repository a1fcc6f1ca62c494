/**
 * The macs of handshake messages and the cookie replies (WireGuard paper, sections 5.3, 5.4.4 and 5.4.7): how a device
 * under load makes sure of a sender's address before it spends a Diffie-Hellman on a message.
 *
 * mac1 shows that the sender knows the receiver's public key. mac2 shows that it receives at its source address: it
 * is keyed with a cookie, which is a MAC of that address under a secret that the receiver changes every two minutes.
 * Both stand at the end of handshake initiations and responses, whose length the caller has checked.
 */
import { hchacha, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import {
  COOKIE_NONCE_SIZE,
  COOKIE_REPLY_COOKIE_OFFSET,
  COOKIE_REPLY_NONCE_OFFSET,
  COOKIE_REPLY_RECEIVER_OFFSET,
  COOKIE_REPLY_SIZE,
  MAC_SIZE,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_TYPE_OFFSET,
} from "../wire/messages.ts";
import { AEAD_NONCE_SIZE, type AeadProvider } from "./aead.ts";
import { blake2sHash, HASH_SIZE, mac, MacKey } from "./blake2s.ts";
import { LABEL_COOKIE, LABEL_MAC1 } from "./constants.ts";

/** For how long a secret makes cookies, and for how long a cookie is used: ms. */
export const COOKIE_LIFETIME = 120_000;

/** Returns that many fresh random bytes. */
export type RandomBytes = (length: number) => Uint8Array;

/** "expand 32-byte k", the constant of ChaCha20, as little-endian words. */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
/** The first bytes of an XChaCha20-Poly1305 nonce give a key (HChaCha20), the others are that key's nonce. */
const SUBKEY_NONCE_SIZE = 16;
/**
 * Messages that a reply may answer: a client that connects sends its initiations closer together than a long round
 * trip.
 */
const MAX_AWAITING = 6;

/** What a cookie reply depends on. */
export interface CookieReplyOptions {
  /** Where the refused message came from, as for `CookieChecker.checkMac2`. */
  readonly source: DataView;
  /** The sender index of the refused message: a uint32 by which its sender finds the handshake. */
  readonly receiverIndex: number;
  /** ms. */
  readonly now: number;
  readonly random: RandomBytes;
}

/** The side that receives handshake messages: one for each device. Messages are named by view, offset and length. */
export class CookieChecker {
  readonly #aead: Pick<AeadProvider, "seal">;
  readonly #mac1Key: MacKey;
  readonly #cookieKey: Uint8Array;
  readonly #secret = new MacKey(new Uint8Array(HASH_SIZE));
  #secretTime = -Infinity;
  /** The cookie of the source that is looked at, as a key. */
  readonly #cookie = new MacKey(new Uint8Array(MAC_SIZE));
  /**
   * What seals the replies of this secret, and the nonce of the next: drawn with the secret, and counted on from there.
   */
  #replyKey = new Uint8Array(0);
  readonly #nonce = new Uint8Array(COOKIE_NONCE_SIZE);
  readonly #nonceView = new DataView(this.#nonce.buffer);
  readonly #innerNonce = new Uint8Array(AEAD_NONCE_SIZE);

  /** @param publicKey this device's own, 32 bytes */
  constructor(publicKey: Uint8Array, aead: Pick<AeadProvider, "seal">) {
    this.#aead = aead;
    this.#mac1Key = new MacKey(labelledKey(LABEL_MAC1, publicKey));
    this.#cookieKey = labelledKey(LABEL_COOKIE, publicKey);
  }

  /** Whether mac1 of a handshake message is right. A message for which it is not gets no answer of any kind. */
  checkMac1(view: DataView, offset: number, length: number): boolean {
    const end = length - 2 * MAC_SIZE;
    return this.#mac1Key.check(view, offset, end, offset + end);
  }

  /**
   * Whether mac2 of a handshake message is keyed with the cookie of its source, and that cookie is still good.
   *
   * @param source IP address and then UDP port, in network order (6 or 18 bytes)
   * @param now ms
   */
  checkMac2(
    view: DataView,
    offset: number,
    length: number,
    source: DataView,
    now: number,
  ): boolean {
    if (this.#isExpired(now)) return false;
    const end = length - MAC_SIZE;
    this.#cookie.replace(this.#secret.mac(source, 0, source.byteLength));
    return this.#cookie.check(view, offset, end, offset + end);
  }

  /** The cookie reply, 64 bytes, to a handshake message whose mac1 is right. Changes the secret when it is due. */
  createReply(message: Uint8Array, options: CookieReplyOptions): Uint8Array {
    const { source, receiverIndex, now, random } = options;
    if (this.#isExpired(now)) this.#changeSecret(random, now);
    const cookie = this.#secret.mac(source, 0, source.byteLength);
    const reply = new Uint8Array(COOKIE_REPLY_SIZE);
    const view = new DataView(reply.buffer);
    view.setUint32(MESSAGE_TYPE_OFFSET, MESSAGE_COOKIE_REPLY, true);
    view.setUint32(COOKIE_REPLY_RECEIVER_OFFSET, receiverIndex, true);
    reply.set(this.#nonce, COOKIE_REPLY_NONCE_OFFSET);
    this.#innerNonce.set(
      this.#nonce.subarray(SUBKEY_NONCE_SIZE),
      AEAD_NONCE_SIZE - (COOKIE_NONCE_SIZE - SUBKEY_NONCE_SIZE),
    );
    reply.set(
      this.#aead.seal(this.#replyKey, this.#innerNonce, mac1Of(message), cookie),
      COOKIE_REPLY_COOKIE_OFFSET,
    );
    this.#countNonce();
    return reply;
  }

  /**
   * The paper has a nonce drawn for each reply. Any that is not used twice is as safe: these begin at random and count,
   * and so HChaCha20, by far the larger part of XChaCha20 here, is worked out once for a secret and not for each
   * message of a flood.
   */
  #changeSecret(random: RandomBytes, now: number): void {
    const secret = random(HASH_SIZE);
    this.#secret.replace(secret);
    secret.fill(0);
    this.#secretTime = now;
    this.#nonce.set(random(COOKIE_NONCE_SIZE));
    this.#replyKey = hchacha20(this.#cookieKey, this.#nonce.subarray(0, SUBKEY_NONCE_SIZE));
  }

  #countNonce(): void {
    const next = this.#nonceView.getUint32(SUBKEY_NONCE_SIZE, true) + 1;
    this.#nonceView.setUint32(SUBKEY_NONCE_SIZE, next, true);
  }

  #isExpired(now: number): boolean {
    return now - this.#secretTime >= COOKIE_LIFETIME;
  }
}

/** The side that sends handshake messages: one for each peer. */
export class CookieGenerator {
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  /** Of the last messages sent, oldest first, while no reply to them has been taken. */
  readonly #mac1s: Uint8Array[] = [];
  #cookie = new Uint8Array(MAC_SIZE);
  #cookieTime = -Infinity;

  /** @param remotePublicKey the peer's, 32 bytes */
  constructor(remotePublicKey: Uint8Array) {
    this.#mac1Key = labelledKey(LABEL_MAC1, remotePublicKey);
    this.#cookieKey = labelledKey(LABEL_COOKIE, remotePublicKey);
  }

  /**
   * Writes mac1 and mac2 into a handshake message that is complete but for them. mac2 is zero unless a cookie was
   * received within its lifetime.
   *
   * @param now ms
   */
  addMacs(message: Uint8Array, now: number): void {
    const mac1At = message.length - 2 * MAC_SIZE;
    const mac2At = message.length - MAC_SIZE;
    const mac1 = mac(this.#mac1Key, message.subarray(0, mac1At));
    message.set(mac1, mac1At);
    this.#mac1s.push(mac1);
    if (this.#mac1s.length > MAX_AWAITING) this.#mac1s.shift();
    if (now - this.#cookieTime < COOKIE_LIFETIME) {
      message.set(mac(this.#cookie, message.subarray(0, mac2At)), mac2At);
    } else {
      message.fill(0, mac2At);
    }
  }

  /** Whether a reply could be taken: a message was sent, and none has been taken for it. */
  get awaitsReply(): boolean {
    return this.#mac1s.length > 0;
  }

  /**
   * Takes the cookie out of a 64-byte cookie reply, for the messages that follow.
   *
   * @param now ms
   * @returns false, with nothing changed, where the reply answers none of the last messages: only one reply is taken
   * for each, and none for those before it, so that an old one cannot be played again
   */
  consumeReply(reply: Uint8Array, now: number): boolean {
    if (reply.length !== COOKIE_REPLY_SIZE) return false;
    const nonce = reply.subarray(COOKIE_REPLY_NONCE_OFFSET, COOKIE_REPLY_COOKIE_OFFSET);
    for (let i = this.#mac1s.length - 1; i >= 0; i--) {
      const cipher = xchacha20poly1305(this.#cookieKey, nonce, this.#mac1s[i]);
      try {
        this.#cookie = Uint8Array.from(cipher.decrypt(reply.subarray(COOKIE_REPLY_COOKIE_OFFSET)));
      } catch {
        // noble reports a wrong tag by throwing; with sizes fixed there is no other cause.
        continue;
      }
      this.#cookieTime = now;
      this.#mac1s.splice(0, i + 1);
      return true;
    }
    return false;
  }
}

function labelledKey(label: string, publicKey: Uint8Array): Uint8Array {
  return blake2sHash(new TextEncoder().encode(label), publicKey);
}

/** The key that the first 16 bytes of an XChaCha20 nonce give (draft-irtf-cfrg-xchacha-03 section 2.2). */
function hchacha20(key: Uint8Array, nonce: Uint8Array): Uint8Array<ArrayBuffer> {
  const derived = new Uint32Array(HASH_SIZE / 4);
  hchacha(SIGMA, words(key), words(nonce), derived);
  return new Uint8Array(derived.buffer);
}

function words(bytes: Uint8Array): Uint32Array {
  const copy = bytes.slice();
  return new Uint32Array(copy.buffer, 0, copy.length / 4);
}

function mac1Of(message: Uint8Array): Uint8Array {
  return message.subarray(message.length - 2 * MAC_SIZE, message.length - MAC_SIZE);
}
