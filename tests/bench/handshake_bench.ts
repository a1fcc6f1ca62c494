/**
 * Micro-benchmarks of a handshake: what a gateway can answer in a second if it does nothing else, with libcrypto, where
 * there is one, and with what is built in.
 */
import { Arena } from "../../ffi/arena.ts";
import { openLibcrypto } from "../../ffi/crypto/libcrypto.ts";
import { openX25519 } from "../../ffi/crypto/libcrypto_x25519.ts";
import { createBuiltinAead } from "../../lib/core/noise/aead_builtin.ts";
import { CookieChecker, CookieGenerator } from "../../lib/core/noise/cookie.ts";
import { Initiator, Responder } from "../../lib/core/noise/handshake.ts";
import { encodeTai64n } from "../../lib/core/noise/tai64n.ts";
import { builtinX25519 } from "../../lib/core/noise/x25519.ts";
import { INITIATION_SIZE } from "../../lib/core/wire/messages.ts";

const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const prologue = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");
const presharedKey = new Uint8Array(32);
const [serverSecret, clientSecret] = [randomBytes(32), randomBytes(32)];
const arena = new Arena(4096);
const libcrypto = openLibcrypto(arena);
const libcryptoX25519 = libcrypto === null ? null : openX25519(arena, libcrypto.name);

const providers = [{ name: "builtin", aead: createBuiltinAead(arena), x25519: builtinX25519 }];
if (libcrypto !== null && libcryptoX25519 !== null) {
  providers.push({ name: libcrypto.name, aead: libcrypto, x25519: libcryptoX25519 });
}

for (const { name, aead, x25519 } of providers) {
  const server = x25519.keyPair(serverSecret);
  const client = x25519.keyPair(clientSecret);
  const staticStatic = new Uint8Array(32);
  server.agree(client.public, staticStatic);

  const makeInitiation = () => {
    const initiator = new Initiator({
      aead,
      prologue,
      localStatic: client,
      remoteStatic: server.public,
      staticStatic,
      ephemeral: x25519.keyPair(randomBytes(32)),
    });
    const message = initiator.writeMessage1(encodeTai64n(1_700_000_000_000))!;
    initiator.destroy();
    return message;
  };
  const fields = makeInitiation();
  const options = { group: `handshake, ${name}` };
  const shared = new Uint8Array(32);

  Deno.bench(`an initiation made: ${name}`, options, () => {
    makeInitiation();
  });

  Deno.bench(`an initiation answered, keys split: ${name}`, options, () => {
    const responder = new Responder({ aead, prologue, localStatic: server });
    responder.readStatic(fields);
    responder.readPayload(staticStatic);
    const ephemeral = x25519.keyPair(randomBytes(32));
    responder.writeMessage2({ ephemeral, presharedKey, payload: new Uint8Array(0) });
    if (responder.split() === null) throw new Error("Cannot answer the initiation");
  });

  Deno.bench(`agree(), one X25519: ${name}`, options, () => {
    server.agree(client.public, shared);
  });

  Deno.bench(`keyPair(), destroyed: ${name}`, options, () => {
    x25519.keyPair(serverSecret).destroy();
  });
}

const serverPublic = builtinX25519.keyPair(serverSecret).public;
const message = randomBytes(INITIATION_SIZE);
new CookieGenerator(serverPublic).addMacs(message, 0);
const messageView = new DataView(message.buffer);
const source = new DataView(randomBytes(6).buffer);
const checker = new CookieChecker(serverPublic, createBuiltinAead(arena));
checker.createReply(message, { source, receiverIndex: 1, now: 0, random: randomBytes });

Deno.bench("CookieChecker.checkMac1()", { group: "cookies" }, () => {
  checker.checkMac1(messageView, 0, INITIATION_SIZE);
});

Deno.bench("CookieChecker.checkMac2()", { group: "cookies" }, () => {
  checker.checkMac2(messageView, 0, INITIATION_SIZE, source, 0);
});

Deno.bench("CookieChecker.createReply()", { group: "cookies" }, () => {
  checker.createReply(message, { source, receiverIndex: 1, now: 0, random: randomBytes });
});
