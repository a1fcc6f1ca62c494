/**
 * Handshake Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, both sides of it:
 *
 * ```text
 *   <- s                      the initiator knows the responder's static public key
 *   ...
 *   -> e, es, s, ss           message 1: ephemeral 32, sealed static 32 + 16, sealed payload n + 16
 *   <- e, ee, se, psk         message 2: ephemeral 32, sealed payload n + 16
 * ```
 *
 * Prologue and payloads are the caller's. WireGuard puts its identifier in the prologue, a TAI64N timestamp in the
 * first payload and nothing in the second; its fields lie in its messages just as they do here, without a gap.
 *
 * What a stranger can cause is a value: a wrong tag, a public key of low order, a message too short or out of turn
 * all give null, and leave the state as it was.
 */
import { KEY_SIZE, TAG_SIZE } from "../wire/messages.ts";
import type { AeadProvider } from "./aead.ts";
import { CONSTRUCTION } from "./constants.ts";
import type { KeyPair } from "./key_pair.ts";
import { SymmetricState } from "./symmetric_state.ts";

const SEALED_STATIC_SIZE = KEY_SIZE + TAG_SIZE;
const PAYLOAD_1_OFFSET = KEY_SIZE + SEALED_STATIC_SIZE;
const PAYLOAD_2_OFFSET = KEY_SIZE;

/** The shared secret under way; nothing here is interrupted, and it is overwritten after each use. */
const shared = new Uint8Array(KEY_SIZE);

/** A pair and the public key that it agrees on something with. */
type Agreement = readonly [KeyPair, Uint8Array];

/** What both sides bring along for a whole handshake. */
export interface HandshakeOptions {
  readonly aead: AeadProvider;
  readonly localStatic: KeyPair;
  /** Bytes that both sides must agree on and that are not sent. */
  readonly prologue: Uint8Array;
}

/** What the initiator brings along besides. */
export interface InitiatorOptions extends HandshakeOptions {
  /** The responder's public key, 32 bytes. */
  readonly remoteStatic: Uint8Array;
  /** Fresh for this handshake. `split` and `destroy` destroy it. */
  readonly ephemeral: KeyPair;
  /** What `localStatic` and `remoteStatic` agree on where the caller keeps it; else it is worked out (30 us and up). */
  readonly staticStatic?: Uint8Array;
}

/** What the responder needs for message 2. */
export interface Message2Options {
  /** Fresh for this handshake. It is destroyed at once. */
  readonly ephemeral: KeyPair;
  /** 32 bytes; all zero where no preshared key is configured. */
  readonly presharedKey: Uint8Array;
  readonly payload: Uint8Array;
}

/** The keys that a finished handshake leaves, 32 bytes each. */
export interface TransportKeys {
  readonly sending: Uint8Array;
  readonly receiving: Uint8Array;
}

/**
 * The side that starts. `new` -> `writeMessage1` -> `sent` -> `readMessage2` -> `complete` -> `split` -> `done`.
 * Methods called in another phase return null.
 */
export class Initiator {
  readonly #options: InitiatorOptions;
  #state: SymmetricState;
  #phase: "new" | "sent" | "complete" | "done" = "new";

  constructor(options: InitiatorOptions) {
    this.#options = options;
    this.#state = SymmetricState.initialize(options.aead, {
      protocolName: CONSTRUCTION,
      prologue: options.prologue,
    });
    this.#state.mixHash(options.remoteStatic);
  }

  get phase(): "new" | "sent" | "complete" | "done" {
    return this.#phase;
  }

  /** The transcript hash; the handshake hash once the phase is `complete`. */
  get handshakeHash(): Uint8Array {
    return this.#state.hash;
  }

  /** Message 1 with its payload: 96 bytes more than that. Null where the responder's public key is of low order. */
  writeMessage1(payload: Uint8Array): Uint8Array | null {
    if (this.#phase !== "new") return null;
    const { ephemeral, localStatic, remoteStatic } = this.#options;
    const state = this.#state.clone();
    state.mixHash(ephemeral.public);
    state.mixChainingKey(ephemeral.public);
    if (!mixAgreed(state, ephemeral, remoteStatic)) return wiped(state);
    const sealedStatic = state.encryptAndHash(localStatic.public);
    if (!mixStatics(state, this.#options.staticStatic, localStatic, remoteStatic)) {
      return wiped(state);
    }
    const sealedPayload = state.encryptAndHash(payload);
    this.#state.wipe();
    this.#state = state;
    this.#phase = "sent";

    const message = new Uint8Array(PAYLOAD_1_OFFSET + sealedPayload.length);
    message.set(ephemeral.public);
    message.set(sealedStatic, KEY_SIZE);
    message.set(sealedPayload, PAYLOAD_1_OFFSET);
    return message;
  }

  /**
   * The payload of message 2, or null where the message is not the responder's answer to message 1. A forged answer
   * changes nothing: the true one may still follow.
   */
  readMessage2(message: Uint8Array, presharedKey: Uint8Array): Uint8Array | null {
    if (this.#phase !== "sent" || message.length < PAYLOAD_2_OFFSET + TAG_SIZE) return null;
    const { ephemeral, localStatic } = this.#options;
    const remoteEphemeral = message.subarray(0, KEY_SIZE);
    const state = this.#state.clone();
    const isMixed = mixMessage2(state, {
      ephemeral: remoteEphemeral,
      ee: [ephemeral, remoteEphemeral],
      se: [localStatic, remoteEphemeral],
      presharedKey,
    });
    if (!isMixed) return wiped(state);
    const payload = state.decryptAndHash(message.subarray(PAYLOAD_2_OFFSET));
    if (payload === null) return wiped(state);
    this.#state.wipe();
    this.#state = state;
    this.#phase = "complete";
    return payload;
  }

  /** The transport keys, once; the handshake is then `done` and its secrets are overwritten. */
  split(): TransportKeys | null {
    if (this.#phase !== "complete") return null;
    const [sending, receiving] = this.#state.split();
    this.destroy();
    return { sending, receiving };
  }

  /** Gives the handshake up and overwrites its secrets. May be called again. */
  destroy(): void {
    this.#phase = "done";
    this.#state.wipe();
    this.#options.ephemeral.destroy();
  }
}

/**
 * The side that answers, made for each message 1 that arrives. `new` -> `readStatic` -> `identified` ->
 * `readPayload` -> `received` -> `writeMessage2` -> `complete` -> `split` -> `done`.
 *
 * A method that returns null ends the handshake, except where it was called in another phase.
 */
export class Responder {
  readonly #options: HandshakeOptions;
  readonly #state: SymmetricState;
  #phase: "new" | "identified" | "received" | "complete" | "done" = "new";
  #remoteStatic = new Uint8Array(KEY_SIZE);
  #remoteEphemeral = new Uint8Array(KEY_SIZE);
  #sealedPayload = new Uint8Array(0);

  constructor(options: HandshakeOptions) {
    this.#options = options;
    this.#state = SymmetricState.initialize(options.aead, {
      protocolName: CONSTRUCTION,
      prologue: options.prologue,
    });
    this.#state.mixHash(options.localStatic.public);
  }

  get phase(): "new" | "identified" | "received" | "complete" | "done" {
    return this.#phase;
  }

  /** The transcript hash; the handshake hash once the phase is `complete`. */
  get handshakeHash(): Uint8Array {
    return this.#state.hash;
  }

  /**
   * Reads message 1 as far as the initiator's static public key, by which the caller finds the peer. That the sender
   * owns this key is not shown before `readPayload`.
   */
  readStatic(message: Uint8Array): Uint8Array | null {
    if (this.#phase !== "new") return null;
    if (message.length < PAYLOAD_1_OFFSET + TAG_SIZE) return this.#refuse();
    this.#remoteEphemeral = Uint8Array.from(message.subarray(0, KEY_SIZE));
    this.#sealedPayload = Uint8Array.from(message.subarray(PAYLOAD_1_OFFSET));

    const state = this.#state;
    state.mixHash(this.#remoteEphemeral);
    state.mixChainingKey(this.#remoteEphemeral);
    if (!mixAgreed(state, this.#options.localStatic, this.#remoteEphemeral)) return this.#refuse();
    const remoteStatic = state.decryptAndHash(message.subarray(KEY_SIZE, PAYLOAD_1_OFFSET));
    if (remoteStatic === null) return this.#refuse();
    this.#remoteStatic = Uint8Array.from(remoteStatic);
    this.#phase = "identified";
    return remoteStatic;
  }

  /**
   * The payload of message 1; it shows that the sender, now or once, owned the static key.
   *
   * @param staticStatic what both static keys agree on where the caller keeps it; else it is worked out (30 us and up)
   */
  readPayload(staticStatic?: Uint8Array): Uint8Array | null {
    if (this.#phase !== "identified") return null;
    if (!mixStatics(this.#state, staticStatic, this.#options.localStatic, this.#remoteStatic)) {
      return this.#refuse();
    }
    const payload = this.#state.decryptAndHash(this.#sealedPayload);
    if (payload === null) return this.#refuse();
    this.#phase = "received";
    return payload;
  }

  /** Message 2 with its payload: 48 bytes more than that. */
  writeMessage2(options: Message2Options): Uint8Array | null {
    if (this.#phase !== "received") return null;
    const { ephemeral, presharedKey, payload } = options;
    const isMixed = mixMessage2(this.#state, {
      ephemeral: ephemeral.public,
      ee: [ephemeral, this.#remoteEphemeral],
      se: [ephemeral, this.#remoteStatic],
      presharedKey,
    });
    ephemeral.destroy();
    if (!isMixed) return this.#refuse();
    const sealedPayload = this.#state.encryptAndHash(payload);
    this.#phase = "complete";

    const message = new Uint8Array(PAYLOAD_2_OFFSET + sealedPayload.length);
    message.set(ephemeral.public);
    message.set(sealedPayload, PAYLOAD_2_OFFSET);
    return message;
  }

  /** The transport keys, once; the handshake is then `done` and its secrets are overwritten. */
  split(): TransportKeys | null {
    if (this.#phase !== "complete") return null;
    const [receiving, sending] = this.#state.split();
    this.destroy();
    return { sending, receiving };
  }

  /** Gives the handshake up and overwrites its secrets. May be called again. */
  destroy(): void {
    this.#phase = "done";
    this.#state.wipe();
  }

  #refuse(): null {
    this.destroy();
    return null;
  }
}

/**
 * The tokens e, ee, se and psk of message 2, which both sides mix alike.
 *
 * @returns false where a public key is of low order; the state is of no use then
 */
function mixMessage2(
  state: SymmetricState,
  tokens: {
    readonly ephemeral: Uint8Array;
    readonly ee: Agreement;
    readonly se: Agreement;
    readonly presharedKey: Uint8Array;
  },
): boolean {
  state.mixHash(tokens.ephemeral);
  state.mixChainingKey(tokens.ephemeral);
  for (const [pair, remotePublic] of [tokens.ee, tokens.se]) {
    const isGood = pair.agree(remotePublic, shared);
    if (isGood) state.mixChainingKey(shared);
    shared.fill(0);
    if (!isGood) return false;
  }
  state.mixKeyAndHash(tokens.presharedKey);
  return true;
}

/** Mixes what both static keys agree on, which the caller may have kept; false for a public key of low order. */
function mixStatics(
  state: SymmetricState,
  staticStatic: Uint8Array | undefined,
  localStatic: KeyPair,
  remoteStatic: Uint8Array,
): boolean {
  if (staticStatic === undefined) return mixAgreed(state, localStatic, remoteStatic);
  state.mixKey(staticStatic);
  return true;
}

/** Mixes what a pair and a public key agree on; false, with nothing mixed, for a public key of low order. */
function mixAgreed(state: SymmetricState, pair: KeyPair, remotePublic: Uint8Array): boolean {
  const isGood = pair.agree(remotePublic, shared);
  if (isGood) state.mixKey(shared);
  shared.fill(0);
  return isGood;
}

/** What a message was tried on in vain. */
function wiped(state: SymmetricState): null {
  state.wipe();
  return null;
}
