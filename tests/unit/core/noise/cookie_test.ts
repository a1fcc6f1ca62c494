/** Tests of mac1, mac2 and cookie replies. The expected bytes come from the slow BLAKE2s and from noble. */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import {
  COOKIE_LIFETIME,
  CookieChecker,
  CookieGenerator,
} from "../../../../lib/core/noise/cookie.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import { referenceBlake2s } from "../../../support/noise/blake2s_reference.ts";
import { concat, fromHex } from "../../../support/noise/vectors.ts";

const encoder = new TextEncoder();
const PUBLIC_KEY = fromHex("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20");
const MAC1_KEY = referenceBlake2s(concat(encoder.encode("mac1----"), PUBLIC_KEY));
const COOKIE_KEY = referenceBlake2s(concat(encoder.encode("cookie--"), PUBLIC_KEY));
const SECRET = fromHex("5e".repeat(32));
const NONCE = fromHex("4e".repeat(24));
/** 192.0.2.7, port 51820, and the same for 2001:db8::7. */
const SOURCE = fromHex("c0000207" + "ca6c");
const SOURCE_V6 = fromHex("20010db8000000000000000000000007" + "ca6c");
const ZERO_MAC = new Uint8Array(16);

const aead = createBuiltinAead(createMemory(64));

function makeChecker(publicKey: Uint8Array = PUBLIC_KEY): CookieChecker {
  return new CookieChecker(publicKey, aead);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function checkMac1(checker: CookieChecker, message: Uint8Array): boolean {
  return checker.checkMac1(viewOf(message), 0, message.length);
}

function checkMac2(
  checker: CookieChecker,
  message: Uint8Array,
  source: Uint8Array,
  now: number,
): boolean {
  return checker.checkMac2(viewOf(message), 0, message.length, viewOf(source), now);
}

/** Hands out the secret when 32 bytes are asked for and the nonce when 24 are. */
function fixedRandom(length: number): Uint8Array {
  return length === 32 ? SECRET.slice() : NONCE.slice();
}

/** The first bytes of a handshake message of `size`, macs still zero. */
function unsignedMessage(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const message = new Random(seed).bytes(size);
  message.fill(0, size - 32);
  return message;
}

function mac1Of(message: Uint8Array): Uint8Array {
  return message.slice(message.length - 32, message.length - 16);
}

function mac2Of(message: Uint8Array): Uint8Array {
  return message.slice(message.length - 16);
}

/** A generator that has sent one message and holds the cookie that came back. */
function withCookie(options: { sentAt: number; repliedAt: number }) {
  const checker = makeChecker();
  const generator = new CookieGenerator(PUBLIC_KEY);
  const message = unsignedMessage(148);
  generator.addMacs(message, options.sentAt);
  const reply = checker.createReply(message, {
    source: viewOf(SOURCE),
    receiverIndex: 7,
    now: options.repliedAt,
    random: fixedRandom,
  });
  assert(generator.consumeReply(reply, options.repliedAt));
  return { checker, generator, message, reply };
}

Deno.test("addMacs() writes mac1 over all that stands before it, and mac2 zero, when it has no cookie", () => {
  for (const size of [148, 92]) {
    const message = unsignedMessage(size);
    message.fill(0xff, size - 32);
    const body = message.slice(0, size - 32);
    new CookieGenerator(PUBLIC_KEY).addMacs(message, 0);
    assertEquals(message.slice(0, size - 32), body);
    assertEquals<Uint8Array>(mac1Of(message), referenceBlake2s(body, { size: 16, key: MAC1_KEY }));
    assertEquals(mac2Of(message), ZERO_MAC);
  }
});

Deno.test("checkMac1() takes what addMacs() wrote and refuses when any bit differs", () => {
  const checker = makeChecker();
  const message = unsignedMessage(92);
  new CookieGenerator(PUBLIC_KEY).addMacs(message, 0);
  assert(checkMac1(checker, message));
  for (let bit = 0; bit < (92 - 16) * 8; bit++) {
    message[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(checkMac1(checker, message), false, `bit ${bit}`);
    message[bit >> 3]! ^= 1 << (bit & 7);
  }
  assertEquals(checkMac1(makeChecker(SECRET), message), false);
});

Deno.test("createReply() seals the cookie of the source when written out", () => {
  for (const source of [SOURCE, SOURCE_V6]) {
    const message = unsignedMessage(148);
    new CookieGenerator(PUBLIC_KEY).addMacs(message, 0);
    const reply = makeChecker().createReply(message, {
      source: viewOf(source),
      receiverIndex: 0xfedcba98,
      now: 1000,
      random: fixedRandom,
    });
    const cookie = referenceBlake2s(source, { size: 16, key: SECRET });
    const sealed = xchacha20poly1305(COOKIE_KEY, NONCE, mac1Of(message)).encrypt(cookie);
    assertEquals<Uint8Array>(
      reply,
      concat(fromHex("03000000" + "98badcfe"), NONCE, sealed),
    );
  }
});

Deno.test("addMacs() and createReply() give the bytes that a Python program worked out", () => {
  // hashlib's BLAKE2s and a plain XChaCha20-Poly1305 over big integers.
  const message = Uint8Array.from({ length: 148 }, (_, index) => index < 116 ? index : 0);
  const generator = new CookieGenerator(PUBLIC_KEY);
  generator.addMacs(message, 0);
  assertEquals(mac1Of(message).toHex(), "3aad596e438d5d18d36d2006d78ad668");
  const reply = makeChecker().createReply(message, {
    source: viewOf(SOURCE),
    receiverIndex: 1,
    now: 0,
    random: fixedRandom,
  });
  assertEquals(
    reply.toHex(),
    "0300000001000000" + "4e".repeat(24) +
      "42ab154b3d9936ba22ef5dae5b8724ed467c72d0de21da9aba4faff2afbd87ee",
  );
  assert(generator.consumeReply(reply, 0));
  generator.addMacs(message, 1);
  assertEquals(mac2Of(message).toHex(), "79ea10946aafaca3504d86a096d5e945");
});

Deno.test("addMacs() keys mac2 with the cookie, over all before it, when a reply was taken", () => {
  const { checker, generator } = withCookie({ sentAt: 0, repliedAt: 50 });
  const cookie = referenceBlake2s(SOURCE, { size: 16, key: SECRET });
  const message = unsignedMessage(148, 2);
  generator.addMacs(message, 5000);
  assertEquals<Uint8Array>(
    mac2Of(message),
    referenceBlake2s(message.slice(0, 132), { size: 16, key: cookie }),
  );
  assert(checkMac1(checker, message));
  assert(checkMac2(checker, message, SOURCE, 5000));
  for (let bit = 0; bit < message.length * 8; bit++) {
    message[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(checkMac2(checker, message, SOURCE, 5000), false, `bit ${bit}`);
    message[bit >> 3]! ^= 1 << (bit & 7);
  }
});

Deno.test("checkMac2() refuses when address or port is another", () => {
  const { checker, generator } = withCookie({ sentAt: 0, repliedAt: 0 });
  const message = unsignedMessage(148, 2);
  generator.addMacs(message, 1);
  assert(checkMac2(checker, message, SOURCE, 1));
  for (let bit = 0; bit < SOURCE.length * 8; bit++) {
    const other = SOURCE.slice();
    other[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(checkMac2(checker, message, other, 1), false, `bit ${bit}`);
  }
  assertEquals(checkMac2(checker, message, SOURCE_V6, 1), false);
});

Deno.test("checkMac2() refuses when no secret was ever made, even a mac2 keyed with zeros", () => {
  const message = unsignedMessage(148);
  const cookie = referenceBlake2s(SOURCE, { size: 16, key: new Uint8Array(32) });
  message.set(referenceBlake2s(message.slice(0, 132), { size: 16, key: cookie }), 132);
  assertEquals(checkMac2(makeChecker(), message, SOURCE, 0), false);
});

Deno.test("addMacs() leaves mac2 zero when the cookie is 120 s old", () => {
  const { generator } = withCookie({ sentAt: 0, repliedAt: 1000 });
  const message = unsignedMessage(148, 2);
  generator.addMacs(message, 1000 + COOKIE_LIFETIME - 1);
  assert(mac2Of(message).some((byte) => byte !== 0));
  generator.addMacs(message, 1000 + COOKIE_LIFETIME);
  assertEquals(mac2Of(message), ZERO_MAC);
  assertEquals(COOKIE_LIFETIME, 120_000);
});

Deno.test("checkMac2() refuses when the secret is 120 s old, whenever the cookie was made", () => {
  const { checker } = withCookie({ sentAt: 0, repliedAt: 1000 });
  const generator = new CookieGenerator(PUBLIC_KEY);
  const message = unsignedMessage(148, 2);
  generator.addMacs(message, 100_000);
  const options = { source: viewOf(SOURCE), receiverIndex: 7, random: fixedRandom };
  const reply = checker.createReply(message, { ...options, now: 100_000 });
  assert(generator.consumeReply(reply, 100_000));
  generator.addMacs(message, 100_001);
  assert(checkMac2(checker, message, SOURCE, 1000 + COOKIE_LIFETIME - 1));
  assert(!checkMac2(checker, message, SOURCE, 1000 + COOKIE_LIFETIME));
});

Deno.test("createReply() seals under XChaCha20-Poly1305 when the nonce is not the first, whatever it has counted to", () => {
  const base = concat(NONCE.subarray(0, 16), fromHex("feffffff00000000"));
  const random = (length: number) => length === 32 ? SECRET.slice() : base.slice();
  const checker = makeChecker();
  const message = unsignedMessage(148);
  const cookie = referenceBlake2s(SOURCE, { size: 16, key: SECRET });
  const options = { source: viewOf(SOURCE), receiverIndex: 1, now: 0, random };
  for (let i = 0; i < 5; i++) {
    const reply = checker.createReply(message, options);
    const cipher = xchacha20poly1305(COOKIE_KEY, reply.subarray(8, 32), mac1Of(message));
    assertEquals<Uint8Array>(cipher.decrypt(reply.subarray(32)), cookie, `reply ${i}`);
  }
});

Deno.test("createReply() asks for a new secret and nonce every 120 s, and uses no nonce twice", () => {
  const checker = makeChecker();
  const source = new Random(9);
  const asked: [number, number][] = [];
  const replies = new Set<string>();
  for (let now = 0; now <= 3 * COOKIE_LIFETIME; now += COOKIE_LIFETIME / 4) {
    const random = (length: number) => {
      asked.push([now, length]);
      return source.bytes(length);
    };
    const options = { source: viewOf(SOURCE), receiverIndex: 1, now, random };
    const reply = checker.createReply(unsignedMessage(148), options);
    replies.add(reply.subarray(8, 32).toHex());
  }
  const secrets = asked.filter(([, length]) => length === 32).map(([now]) => now);
  assertEquals(secrets, [0, 120_000, 240_000, 360_000]);
  const nonces = asked.filter(([, length]) => length === 24).map(([now]) => now);
  assertEquals(nonces, secrets);
  assertEquals(asked.length, 8);
  assertEquals(replies.size, 13);
});

Deno.test("consumeReply() refuses when any bit of nonce or cookie differs, and still takes the true one", () => {
  const checker = makeChecker();
  const generator = new CookieGenerator(PUBLIC_KEY);
  const message = unsignedMessage(148);
  generator.addMacs(message, 0);
  const options = { source: viewOf(SOURCE), receiverIndex: 7, now: 0, random: fixedRandom };
  const reply = checker.createReply(message, options);
  for (let bit = 8 * 8; bit < reply.length * 8; bit++) {
    reply[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(generator.consumeReply(reply, 0), false, `bit ${bit}`);
    reply[bit >> 3]! ^= 1 << (bit & 7);
  }
  for (const size of [0, 8, 32, 63]) {
    assertEquals(generator.consumeReply(reply.subarray(0, size), 0), false);
  }
  assertEquals(generator.consumeReply(concat(reply, Uint8Array.of(0)), 0), false);
  generator.addMacs(message, 1);
  assertEquals(mac2Of(message), ZERO_MAC);
  assert(generator.consumeReply(reply, 1));
});

Deno.test("consumeReply() refuses when nothing was sent, or the reply is played again", () => {
  const { generator, reply } = withCookie({ sentAt: 0, repliedAt: 0 });
  assertEquals(generator.consumeReply(reply, 1), false);
  assertEquals(new CookieGenerator(PUBLIC_KEY).consumeReply(reply, 0), false);
});

Deno.test("consumeReply() takes an answer to one of the last messages, and then none to it or those before it, or of another device", () => {
  const checker = makeChecker();
  const generator = new CookieGenerator(PUBLIC_KEY);
  const options = { source: viewOf(SOURCE), receiverIndex: 7, now: 0, random: fixedRandom };
  const first = unsignedMessage(148, 1);
  generator.addMacs(first, 0);
  const second = unsignedMessage(148, 2);
  generator.addMacs(second, 1);
  const third = unsignedMessage(148, 3);
  generator.addMacs(third, 1);
  const stranger = makeChecker(SECRET);
  assertEquals(generator.consumeReply(stranger.createReply(second, options), 1), false);
  // The round trip may be longer than the time between two initiations of a client that connects.
  assert(generator.consumeReply(checker.createReply(second, options), 1));
  for (const old of [first, second]) {
    assertEquals(generator.consumeReply(checker.createReply(old, options), 1), false);
  }
  assert(generator.consumeReply(checker.createReply(third, options), 1));
  assertEquals(generator.awaitsReply, false);
  // Of more than six, the oldest are not waited for any more.
  generator.addMacs(first, 2);
  for (let i = 0; i < 6; i++) generator.addMacs(unsignedMessage(148, 4 + i), 2);
  assertEquals(generator.consumeReply(checker.createReply(first, options), 2), false);
});
