/** Tests of the handshake: two parties, and all that may come between them. */
import type { AeadProvider } from "../../../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import { CONSTRUCTION, IDENTIFIER } from "../../../../lib/core/noise/constants.ts";
import {
  type HandshakeOptions,
  Initiator,
  Responder,
} from "../../../../lib/core/noise/handshake.ts";
import type { KeyPair } from "../../../../lib/core/noise/key_pair.ts";
import { keyPair } from "../../../../lib/core/noise/x25519.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals, assertNotEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import { checkNoiseVector } from "../../../support/noise/noise_vector.ts";
import { concat, dhCases, fromHex } from "../../../support/noise/vectors.ts";
import { agreedSecret } from "../../../support/noise/agreed_secret.ts";
import { hostTest } from "../../../support/permissions.ts";

const memory = createMemory(4096);
const aead: AeadProvider = createBuiltinAead(memory);
const prologue = new TextEncoder().encode(IDENTIFIER);
const TIMESTAMP = fromHex("400000006909c80a" + "1d000000");
const PSK = fromHex("70".repeat(32));
const NONE = new Uint8Array(0);

/** Two parties that know what they must of each other; everything from one seed. */
function parties(seed = 1) {
  const random = new Random(seed);
  const fresh = () => keyPair(random.bytes(32));
  const initiatorStatic = fresh();
  const responderStatic = fresh();
  const startInitiator = (options: { remoteStatic?: Uint8Array; localStatic?: KeyPair } = {}) =>
    new Initiator({
      aead,
      prologue,
      localStatic: initiatorStatic,
      remoteStatic: responderStatic.public,
      ephemeral: fresh(),
      ...options,
    });
  const startResponder = (options: Partial<HandshakeOptions> = {}) =>
    new Responder({ aead, prologue, localStatic: responderStatic, ...options });
  return { random, fresh, initiatorStatic, responderStatic, startInitiator, startResponder };
}

/** A handshake after message 2 is written and before it is read. */
function answered(seed = 1, presharedKey = PSK) {
  const { fresh, startInitiator, startResponder } = parties(seed);
  const initiator = startInitiator();
  const message1 = initiator.writeMessage1(TIMESTAMP);
  assert(message1 !== null);
  const responder = startResponder();
  assert(responder.readStatic(message1) !== null);
  assert(responder.readPayload() !== null);
  const message2 = responder.writeMessage2({ ephemeral: fresh(), presharedKey, payload: NONE });
  assert(message2 !== null);
  return { initiator, responder, message1, message2 };
}

/** A pair that claims another public key than its own. */
function withPublic(pair: KeyPair, publicKey: Uint8Array): KeyPair {
  return {
    public: publicKey,
    agree: (remotePublic, result) => pair.agree(remotePublic, result),
    destroy: () => pair.destroy(),
  };
}

/** Whether a responder gets as far as the payload of message 1. */
function isTaken(responder: Responder, message1: Uint8Array): boolean {
  return responder.readStatic(message1) !== null && responder.readPayload() !== null;
}

hostTest("Initiator and Responder give Noise's vector", () => {
  checkNoiseVector(aead, memory);
});

Deno.test("constants are those of the WireGuard paper", () => {
  assertEquals(CONSTRUCTION, "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
  assertEquals(IDENTIFIER, "WireGuard v1 zx2c4 Jason@zx2c4.com");
});

Deno.test("both sides end with the same keys crosswise when all is right", () => {
  for (const presharedKey of [PSK, new Uint8Array(32)]) {
    const { initiator, responder, message1, message2 } = answered(1, presharedKey);
    // WireGuard's field sizes: 32 + 48 + 28, and 32 + 16.
    assertEquals(message1.length, 108);
    assertEquals(message2.length, 48);
    assertEquals(initiator.readMessage2(message2, presharedKey), NONE as Uint8Array);
    assertEquals(initiator.handshakeHash, responder.handshakeHash);
    const ours = initiator.split();
    const theirs = responder.split();
    assert(ours !== null && theirs !== null);
    assertEquals(ours.sending, theirs.receiving);
    assertEquals(ours.receiving, theirs.sending);
    assertNotEquals(ours.sending, ours.receiving);
    assertEquals(ours.sending.length, 32);
    assertEquals(ours.receiving.length, 32);
  }
});

Deno.test("readStatic() and readPayload() tell who sent message 1 and what was in it", () => {
  const { initiatorStatic, startInitiator, startResponder } = parties();
  for (const payload of [TIMESTAMP, NONE, new Random(2).bytes(500)]) {
    const message1 = startInitiator().writeMessage1(payload);
    assert(message1 !== null);
    const responder = startResponder();
    assertEquals(responder.readStatic(message1), initiatorStatic.public);
    assertEquals(responder.readPayload(), payload as Uint8Array);
  }
});

Deno.test("a kept static-static secret gives the same messages when it is passed in", () => {
  const { random, initiatorStatic, responderStatic, startResponder } = parties();
  const secret = random.bytes(32);
  const staticStatic = agreedSecret(initiatorStatic.secret, responderStatic.public);
  assert(staticStatic !== null);
  const kept = staticStatic.slice();
  const shared = {
    aead,
    prologue,
    localStatic: initiatorStatic,
    remoteStatic: responderStatic.public,
  };
  const plain = new Initiator({ ...shared, ephemeral: keyPair(secret) });
  const quick = new Initiator({ ...shared, ephemeral: keyPair(secret), staticStatic });
  const message1 = plain.writeMessage1(TIMESTAMP);
  assertEquals(quick.writeMessage1(TIMESTAMP), message1);
  assert(message1 !== null);
  const responder = startResponder();
  assert(responder.readStatic(message1) !== null);
  assertEquals(responder.readPayload(staticStatic), TIMESTAMP as Uint8Array);
  // The caller's secret is for many handshakes.
  quick.destroy();
  responder.destroy();
  assertEquals(staticStatic, kept);
});

Deno.test("readMessage2() refuses when the preshared key differs, and takes the right one after", () => {
  const { initiator, message2 } = answered();
  assertEquals(initiator.readMessage2(message2, new Uint8Array(32)), null);
  const almost = PSK.slice();
  almost[31]! ^= 1;
  assertEquals(initiator.readMessage2(message2, almost), null);
  assertEquals(initiator.phase, "sent");
  assert(initiator.readMessage2(message2, PSK) !== null);
});

Deno.test("readStatic() refuses when the message is for another public key or prologue", () => {
  const { fresh, startInitiator, startResponder } = parties();
  const elsewhere = startInitiator({ remoteStatic: fresh().public }).writeMessage1(TIMESTAMP);
  assert(elsewhere !== null);
  assertEquals(startResponder().readStatic(elsewhere), null);
  const message1 = startInitiator().writeMessage1(TIMESTAMP);
  assert(message1 !== null);
  assertEquals(startResponder({ prologue: NONE }).readStatic(message1), null);
  assertEquals(startResponder({ localStatic: fresh() }).readStatic(message1), null);
  assert(isTaken(startResponder(), message1));
});

Deno.test("readPayload() refuses when the sender only claims a static key", () => {
  const { fresh, initiatorStatic, startInitiator, startResponder } = parties();
  const impostor = withPublic(fresh(), initiatorStatic.public);
  const message1 = startInitiator({ localStatic: impostor }).writeMessage1(TIMESTAMP);
  assert(message1 !== null);
  const responder = startResponder();
  assertEquals(responder.readStatic(message1), initiatorStatic.public);
  assertEquals(responder.readPayload(), null);
  assertEquals(responder.phase, "done");
});

Deno.test("message 1 is refused when any bit of it differs", () => {
  const { startInitiator, startResponder } = parties();
  const message1 = startInitiator().writeMessage1(TIMESTAMP);
  assert(message1 !== null);
  for (let bit = 0; bit < message1.length * 8; bit++) {
    message1[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(isTaken(startResponder(), message1), false, `bit ${bit}`);
    message1[bit >> 3]! ^= 1 << (bit & 7);
  }
  assert(isTaken(startResponder(), message1));
});

Deno.test("message 2 is refused when any bit of it differs, and the true one taken after", () => {
  const { initiator, message2 } = answered();
  for (let bit = 0; bit < message2.length * 8; bit++) {
    message2[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(initiator.readMessage2(message2, PSK), null, `bit ${bit}`);
    message2[bit >> 3]! ^= 1 << (bit & 7);
  }
  assert(initiator.readMessage2(message2, PSK) !== null);
});

Deno.test("messages are refused when they are cut short, longer or empty", () => {
  const { initiator, message1, message2 } = answered();
  const { startResponder } = parties();
  for (let length = 0; length < message1.length; length++) {
    assertEquals(isTaken(startResponder(), message1.subarray(0, length)), false);
  }
  assertEquals(isTaken(startResponder(), concat(message1, Uint8Array.of(0))), false);
  for (let length = 0; length < message2.length; length++) {
    assertEquals(initiator.readMessage2(message2.subarray(0, length), PSK), null);
  }
  assertEquals(initiator.readMessage2(concat(message2, Uint8Array.of(0)), PSK), null);
  assert(initiator.readMessage2(message2, PSK) !== null);
});

Deno.test("messages are refused when they are random bytes or a true one mutated", () => {
  const random = new Random(5);
  const { initiator, message1, message2 } = answered();
  const { startResponder } = parties();
  for (let round = 0; round < 500; round++) {
    const isRandom = round % 2 === 0;
    const first = isRandom ? random.bytes(random.below(300)) : random.mutate(message1);
    const second = isRandom ? random.bytes(random.below(300)) : random.mutate(message2);
    // A mutation may flip the same bit twice.
    if (first.toHex() !== message1.toHex()) assert(!isTaken(startResponder(), first));
    if (second.toHex() !== message2.toHex()) {
      assertEquals(initiator.readMessage2(second, PSK), null, `seed 5, round ${round}`);
    }
  }
  assert(initiator.readMessage2(message2, PSK) !== null);
});

Deno.test("message 2 is refused when it answers another message 1", () => {
  const { initiator } = answered(1);
  const { message2 } = answered(2);
  assertEquals(initiator.readMessage2(message2, PSK), null);
});

hostTest("public keys of low order are refused wherever they stand", () => {
  const lowOrder = dhCases("wycheproof_x25519.json")
    .filter((test) => test.flags.includes("ZeroSharedSecret"))
    .map((test) => test.publicKey);
  assertEquals(lowOrder.length, 31);
  const { fresh, startInitiator, startResponder } = parties();
  const { initiator, message1, message2 } = answered();
  for (const point of lowOrder) {
    assertEquals(startInitiator({ remoteStatic: point }).writeMessage1(TIMESTAMP), null);
    assertEquals(startResponder().readStatic(concat(point, message1.subarray(32))), null);
    assertEquals(initiator.readMessage2(concat(point, message2.subarray(32)), PSK), null);

    // An initiator whose static key is of low order makes a message 1 that is right in all else.
    const { responderStatic } = parties();
    const forged = new Initiator({
      aead,
      prologue,
      localStatic: withPublic(fresh(), point),
      remoteStatic: responderStatic.public,
      staticStatic: new Uint8Array(32),
      ephemeral: fresh(),
    }).writeMessage1(TIMESTAMP);
    assert(forged !== null);
    const responder = startResponder();
    assertEquals(responder.readStatic(forged), point);
    assertEquals(responder.readPayload(), null);
  }
  assert(initiator.readMessage2(message2, PSK) !== null);
});

Deno.test("methods give null and change nothing when called out of turn", () => {
  const { fresh, startInitiator, startResponder } = parties();
  const initiator = startInitiator();
  const responder = startResponder();
  const answer = () => ({ ephemeral: fresh(), presharedKey: PSK, payload: NONE });
  assertEquals(initiator.readMessage2(new Uint8Array(48), PSK), null);
  assertEquals(initiator.split(), null);
  assertEquals(responder.readPayload(), null);
  assertEquals(responder.writeMessage2(answer()), null);
  assertEquals(responder.split(), null);
  assertEquals([initiator.phase, responder.phase], ["new", "new"] as const as [never, never]);

  const message1 = initiator.writeMessage1(TIMESTAMP);
  assert(message1 !== null);
  assertEquals(initiator.writeMessage1(TIMESTAMP), null);
  assertEquals(initiator.split(), null);
  assert(responder.readStatic(message1) !== null);
  assertEquals(responder.readStatic(message1), null);
  assertEquals(responder.writeMessage2(answer()), null);
  assert(responder.readPayload() !== null);
  assertEquals(responder.readPayload(), null);
  assertEquals(responder.split(), null);
  const message2 = responder.writeMessage2(answer());
  assert(message2 !== null);
  assertEquals(responder.writeMessage2(answer()), null);
  assert(initiator.readMessage2(message2, PSK) !== null);
  assertEquals(initiator.readMessage2(message2, PSK), null);

  const ours = initiator.split();
  const theirs = responder.split();
  assertEquals(ours?.sending, theirs?.receiving);
  assertEquals(initiator.split(), null);
  assertEquals(responder.split(), null);
});

Deno.test("ephemeral secrets and the handshake's state are zero when it is done", () => {
  const { fresh, initiatorStatic, responderStatic, startResponder } = parties();
  const keptStatics = [initiatorStatic.secret.slice(), responderStatic.secret.slice()];
  const ephemeral = fresh();
  const initiator = new Initiator({
    aead,
    prologue,
    localStatic: initiatorStatic,
    remoteStatic: responderStatic.public,
    ephemeral,
  });
  const message1 = initiator.writeMessage1(TIMESTAMP);
  assert(message1 !== null);
  const responder = startResponder();
  assert(isTaken(responder, message1));
  const answering = fresh();
  const message2 = responder.writeMessage2({
    ephemeral: answering,
    presharedKey: PSK,
    payload: NONE,
  });
  assert(message2 !== null && initiator.readMessage2(message2, PSK) !== null);
  const keys = initiator.split();
  responder.destroy();
  responder.destroy();
  const zero = new Uint8Array(32);
  assertEquals<Uint8Array>(ephemeral.secret, zero);
  assertEquals<Uint8Array>(answering.secret, zero);
  assertEquals<Uint8Array>(initiator.handshakeHash, zero);
  assertEquals<Uint8Array>(responder.handshakeHash, zero);
  assertEquals(responder.split(), null);
  assertNotEquals<Uint8Array | undefined>(keys?.sending, zero);
  assertEquals<Uint8Array[]>([initiatorStatic.secret, responderStatic.secret], keptStatics);
});

Deno.test("destroy() wipes the ephemeral secret and takes no answer when the handshake was given up", () => {
  const { random, initiatorStatic, responderStatic } = parties();
  const ephemeral = keyPair(random.bytes(32));
  const unanswered = new Initiator({
    aead,
    prologue,
    localStatic: initiatorStatic,
    remoteStatic: responderStatic.public,
    ephemeral,
  });
  assert(unanswered.writeMessage1(TIMESTAMP) !== null);
  unanswered.destroy();
  assertEquals<Uint8Array>(ephemeral.secret, new Uint8Array(32));

  const { initiator, message2 } = answered();
  initiator.destroy();
  initiator.destroy();
  assertEquals(initiator.phase, "done");
  assertEquals(initiator.readMessage2(message2, PSK), null);
});
