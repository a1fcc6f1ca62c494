/** Noise's vector: runs it through the handshake and a provider's transport keys. */
import type { AeadProvider } from "../../../lib/core/noise/aead.ts";
import { Initiator, Responder } from "../../../lib/core/noise/handshake.ts";
import type { X25519Provider } from "../../../lib/core/noise/key_pair.ts";
import { builtinX25519 } from "../../../lib/core/noise/x25519.ts";
import type { Memory } from "../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../assert.ts";
import { fromHex, noiseVector } from "./vectors.ts";

/**
 * Checks both messages, the handshake hash and four transport messages (two each way, counters 0 and 1).
 *
 * @param memory 4 KiB of it are overwritten
 */
export function checkNoiseVector(
  provider: AeadProvider,
  memory: Memory,
  x25519: X25519Provider = builtinX25519,
): void {
  const keyPair = (secret: Uint8Array) => x25519.keyPair(secret);

  const vector = noiseVector();
  assertEquals(vector.protocol_name, "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
  const [message1, message2, ...transport] = vector.messages.map((message) => ({
    payload: fromHex(message.payload),
    ciphertext: fromHex(message.ciphertext),
  }));
  assert(message1 !== undefined && message2 !== undefined);
  const initiatorStatic = keyPair(fromHex(vector.init_static));
  const initiator = new Initiator({
    aead: provider,
    prologue: fromHex(vector.init_prologue),
    localStatic: initiatorStatic,
    remoteStatic: fromHex(vector.init_remote_static),
    ephemeral: keyPair(fromHex(vector.init_ephemeral)),
  });
  const responder = new Responder({
    aead: provider,
    prologue: fromHex(vector.resp_prologue),
    localStatic: keyPair(fromHex(vector.resp_static)),
  });

  assertEquals<Uint8Array | null>(initiator.writeMessage1(message1.payload), message1.ciphertext);
  assertEquals(responder.readStatic(message1.ciphertext), initiatorStatic.public);
  assertEquals<Uint8Array | null>(responder.readPayload(), message1.payload);
  const answer = responder.writeMessage2({
    ephemeral: keyPair(fromHex(vector.resp_ephemeral)),
    presharedKey: fromHex(vector.resp_psks[0]!),
    payload: message2.payload,
  });
  assertEquals<Uint8Array | null>(answer, message2.ciphertext);
  assertEquals<Uint8Array | null>(
    initiator.readMessage2(message2.ciphertext, fromHex(vector.init_psks[0]!)),
    message2.payload,
  );
  assertEquals(initiator.handshakeHash.toHex(), vector.handshake_hash);
  assertEquals(responder.handshakeHash.toHex(), vector.handshake_hash);

  const initiatorKeys = initiator.split();
  const responderKeys = responder.split();
  assert(initiatorKeys !== null && responderKeys !== null);
  assertEquals(initiatorKeys.sending, responderKeys.receiving);
  assertEquals(initiatorKeys.receiving, responderKeys.sending);
  assertEquals(transport.length, 4);
  for (const [index, { payload, ciphertext }] of transport.entries()) {
    const fromInitiator = index % 2 === 0;
    const counter = index >> 1;
    const sending = provider.key((fromInitiator ? initiatorKeys : responderKeys).sending);
    const receiving = provider.key((fromInitiator ? responderKeys : initiatorKeys).receiving);
    memory.bytes.set(payload, 0);
    assert(sending.seal(1024, 0, payload.length, counter, 0));
    assertEquals(memory.bytes.slice(1024, 1024 + ciphertext.length), ciphertext);
    assert(receiving.open(2048, 1024, payload.length, counter, 0));
    assertEquals(memory.bytes.slice(2048, 2048 + payload.length), payload);
    sending.destroy();
    receiving.destroy();
  }
}
