/** Micro-benchmarks of a handshake: what a gateway can answer in a second if it does nothing else. */
import { createBuiltinAead } from "../../lib/core/noise/aead_builtin.ts";
import { CookieChecker, CookieGenerator } from "../../lib/core/noise/cookie.ts";
import { Initiator, Responder } from "../../lib/core/noise/handshake.ts";
import { encodeTai64n } from "../../lib/core/noise/tai64n.ts";
import { keyPair, sharedSecret } from "../../lib/core/noise/x25519.ts";
import { createMemory } from "../../lib/core/wire/memory.ts";
import { INITIATION_SIZE } from "../../lib/core/wire/messages.ts";

const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const aead = createBuiltinAead(createMemory(64));
const prologue = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");
const server = keyPair(randomBytes(32));
const client = keyPair(randomBytes(32));
const staticStatic = sharedSecret(server.secret, client.public)!;
const presharedKey = new Uint8Array(32);

function makeInitiation(): Uint8Array {
  const initiator = new Initiator({
    aead,
    prologue,
    localStatic: client,
    remoteStatic: server.public,
    staticStatic,
    ephemeral: keyPair(randomBytes(32)),
  });
  return initiator.writeMessage1(encodeTai64n(1_700_000_000_000))!;
}

const fields = makeInitiation();
const message = randomBytes(INITIATION_SIZE);
new CookieGenerator(server.public).addMacs(message, 0);
const messageView = new DataView(message.buffer);
const source = new DataView(randomBytes(6).buffer);
const checker = new CookieChecker(server.public, aead);
checker.createReply(message, { source, receiverIndex: 1, now: 0, random: randomBytes });

Deno.bench("an initiation made", { group: "handshake" }, () => {
  makeInitiation();
});

Deno.bench("an initiation answered, keys split", { group: "handshake" }, () => {
  const responder = new Responder({ aead, prologue, localStatic: server });
  responder.readStatic(fields);
  responder.readPayload(staticStatic);
  const payload = new Uint8Array(0);
  responder.writeMessage2({ ephemeral: keyPair(randomBytes(32)), presharedKey, payload });
  if (responder.split() === null) throw new Error("Cannot answer the initiation");
});

Deno.bench("sharedSecret(), one X25519", { group: "handshake" }, () => {
  sharedSecret(server.secret, client.public);
});

Deno.bench("keyPair()", { group: "handshake" }, () => {
  keyPair(server.secret);
});

Deno.bench("CookieChecker.checkMac1()", { group: "handshake" }, () => {
  checker.checkMac1(messageView, 0, INITIATION_SIZE);
});

Deno.bench("CookieChecker.checkMac2()", { group: "handshake" }, () => {
  checker.checkMac2(messageView, 0, INITIATION_SIZE, source, 0);
});

Deno.bench("CookieChecker.createReply()", { group: "handshake" }, () => {
  checker.createReply(message, { source, receiverIndex: 1, now: 0, random: randomBytes });
});
