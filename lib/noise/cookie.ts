/**
 * Owns mac1, mac2 and cookie replies (WireGuard paper, sections 5.3, 5.4.4 and 5.4.7): how a device under load makes
 * sure of a sender's address before it spends a Diffie-Hellman on a message.
 *
 * mac1 shows that the sender knows the receiver's public key. mac2 shows that it receives at its source address: it
 * is keyed with a cookie, which is a MAC of that address under a secret that the receiver changes every two minutes.
 * Both stand at the end of handshake initiations and responses, whose length the caller has checked.
 */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
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
import { hash, HASH_SIZE, mac } from "./blake2s.ts";
import { constantTimeEqual } from "./constant_time.ts";
import { LABEL_COOKIE, LABEL_MAC1 } from "./constants.ts";

/** For how long a secret makes cookies, and for how long a cookie is used: ms. */
export const COOKIE_LIFETIME = 120_000;

/** Returns that many fresh random bytes. */
export type RandomBytes = (length: number) => Uint8Array;

/** What a cookie reply depends on. */
export interface CookieReplyOptions {
  /** Where the refused message came from, as for `CookieChecker.checkMac2`. */
  readonly source: Uint8Array;
  /** The sender index of the refused message: a uint32 by which its sender finds the handshake. */
  readonly receiverIndex: number;
  /** ms. */
  readonly now: number;
  readonly random: RandomBytes;
}

/** The side that receives handshake messages: one for each device. */
export class CookieChecker {
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #secret = new Uint8Array(HASH_SIZE);
  #secretTime = -Infinity;

  /** @param publicKey this device's own, 32 bytes */
  constructor(publicKey: Uint8Array) {
    this.#mac1Key = labelledKey(LABEL_MAC1, publicKey);
    this.#cookieKey = labelledKey(LABEL_COOKIE, publicKey);
  }

  /** Whether mac1 of a handshake message is right. A message for which it is not gets no answer of any kind. */
  checkMac1(message: Uint8Array): boolean {
    const end = message.length - 2 * MAC_SIZE;
    return constantTimeEqual(
      mac(this.#mac1Key, message.subarray(0, end)),
      message.subarray(end, end + MAC_SIZE),
    );
  }

  /**
   * Whether mac2 of a handshake message is keyed with the cookie of its source, and that cookie is still good.
   *
   * @param source IP address and then UDP port, in network order (6 or 18 bytes)
   * @param now ms
   */
  checkMac2(message: Uint8Array, source: Uint8Array, now: number): boolean {
    if (this.#isExpired(now)) return false;
    const end = message.length - MAC_SIZE;
    const cookie = mac(this.#secret, source);
    return constantTimeEqual(mac(cookie, message.subarray(0, end)), message.subarray(end));
  }

  /** The cookie reply, 64 bytes, to a handshake message whose mac1 is right. Changes the secret when it is due. */
  createReply(message: Uint8Array, options: CookieReplyOptions): Uint8Array {
    const { source, receiverIndex, now, random } = options;
    if (this.#isExpired(now)) {
      this.#secret = Uint8Array.from(random(HASH_SIZE));
      this.#secretTime = now;
    }
    const nonce = random(COOKIE_NONCE_SIZE);
    const cookie = mac(this.#secret, source);
    const reply = new Uint8Array(COOKIE_REPLY_SIZE);
    const view = new DataView(reply.buffer);
    view.setUint32(MESSAGE_TYPE_OFFSET, MESSAGE_COOKIE_REPLY, true);
    view.setUint32(COOKIE_REPLY_RECEIVER_OFFSET, receiverIndex, true);
    reply.set(nonce, COOKIE_REPLY_NONCE_OFFSET);
    reply.set(
      xchacha20poly1305(this.#cookieKey, nonce, mac1Of(message)).encrypt(cookie),
      COOKIE_REPLY_COOKIE_OFFSET,
    );
    return reply;
  }

  #isExpired(now: number): boolean {
    return now - this.#secretTime >= COOKIE_LIFETIME;
  }
}

/** The side that sends handshake messages: one for each peer. */
export class CookieGenerator {
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | null = null;
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
    this.#lastMac1 = mac1;
    if (now - this.#cookieTime < COOKIE_LIFETIME) {
      message.set(mac(this.#cookie, message.subarray(0, mac2At)), mac2At);
    } else {
      message.fill(0, mac2At);
    }
  }

  /**
   * Takes the cookie out of a 64-byte cookie reply, for the messages that follow.
   *
   * @param now ms
   * @returns false, with nothing changed, where the reply does not answer the last message: only one reply is taken
   * for each, so that an old one cannot be played again
   */
  consumeReply(reply: Uint8Array, now: number): boolean {
    if (this.#lastMac1 === null || reply.length !== COOKIE_REPLY_SIZE) return false;
    const nonce = reply.subarray(COOKIE_REPLY_NONCE_OFFSET, COOKIE_REPLY_COOKIE_OFFSET);
    const cipher = xchacha20poly1305(this.#cookieKey, nonce, this.#lastMac1);
    try {
      this.#cookie = Uint8Array.from(cipher.decrypt(reply.subarray(COOKIE_REPLY_COOKIE_OFFSET)));
    } catch {
      // noble reports a wrong tag by throwing; with sizes fixed there is no other cause.
      return false;
    }
    this.#cookieTime = now;
    this.#lastMac1 = null;
    return true;
  }
}

function labelledKey(label: string, publicKey: Uint8Array): Uint8Array {
  return hash(new TextEncoder().encode(label), publicKey);
}

function mac1Of(message: Uint8Array): Uint8Array {
  return message.subarray(message.length - 2 * MAC_SIZE, message.length - MAC_SIZE);
}
