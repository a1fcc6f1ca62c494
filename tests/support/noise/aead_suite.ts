/**
 * Suite that every ChaCha20-Poly1305 provider must pass: Wycheproof's cases, and agreement of its two interfaces with
 * each other and with `@noble/ciphers`, which neither provider uses.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import type { AeadKey, AeadProvider } from "../../../lib/core/noise/aead.ts";
import type { Memory } from "../../../lib/core/wire/memory.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { Random } from "../random.ts";
import { type ProviderSuite, testProvider } from "./provider_suite.ts";
import { checkNoiseVector } from "./noise_vector.ts";
import { type AeadCase, aeadCases, tally } from "./vectors.ts";

const TAG_SIZE = 16;

/** A provider over a memory of at least 16 KiB, of which the first 12 KiB are the suite's. */
export interface AeadFixture {
  readonly provider: AeadProvider;
  readonly memory: Memory;
  /** Releases what the provider holds. */
  close(): void;
}

/** Registers the tests of a provider under `name`. */
export function testAead(name: string, suite: ProviderSuite<AeadFixture>): void {
  testProvider(name, suite, TESTS);
}

const TESTS: Record<string, (fixture: AeadFixture) => void> = {
  "seal() and open() of fields do as all 325 Wycheproof cases say": runWycheproof,
  "key().seal() encrypts the 10 Wycheproof cases whose nonce is a counter": runWycheproofOnKey,
  "key() agrees with fields and with noble when lengths, offsets and counters are random":
    crossCheck,
  "key() takes the counter as 64 bits when it is at and beyond 2^32": checkCounters,
  "key().open() refuses when any bit of ciphertext, tag, counter or key differs": refuseTampered,
  "key() writes nothing beyond the packet when neighbours are marked": guardNeighbours,
  "key() copies the key when the caller overwrites it": copyKey,
  "destroy() makes seal() and open() false when called once or twice": destroyKey,
  "seal(), open() and key() refuse when sizes are wrong": refuseSizes,
  "a handshake and its transport messages are those of Noise's vector": ({ provider, memory }) =>
    checkNoiseVector(provider, memory),
};

function runWycheproof({ provider }: AeadFixture): void {
  const cases = aeadCases("wycheproof_chacha20_poly1305.json");
  const outcomes = cases.map((test) => {
    if (test.flags.includes("InvalidNonceSize")) return refusedNonce(provider, test);
    const { key, nonce, associatedData, plaintext, sealed } = test;
    const opened = provider.open(key, nonce, associatedData, sealed);
    const resealed = provider.seal(key, nonce, associatedData, plaintext);
    if (test.result === "valid") {
      assertEquals(opened, plaintext, `case ${test.tcId}`);
      assertEquals(resealed, sealed, `case ${test.tcId}`);
    } else {
      assertEquals(opened, null, `case ${test.tcId}`);
      assert(resealed.toHex() !== sealed.toHex(), `case ${test.tcId}`);
    }
    return test.result === "valid" ? "sealed and opened" : "tag refused";
  });
  assertEquals(cases.length, 325);
  assertEquals(tally(outcomes), {
    "sealed and opened": 256,
    "tag refused": 60,
    "nonce refused": 9,
  });
}

function refusedNonce(provider: AeadProvider, test: AeadCase): string {
  const { key, nonce, associatedData, plaintext, sealed } = test;
  assertThrows(() => provider.seal(key, nonce, associatedData, plaintext), RangeError, "nonce");
  assertEquals(provider.open(key, nonce, associatedData, sealed), null, `case ${test.tcId}`);
  return "nonce refused";
}

/**
 * No case has both an empty associated data and a nonce that starts with 32 zero bits, as packets have. Associated data
 * changes the tag alone, so these cases still check the ciphertext; the tag is noble's.
 */
function runWycheproofOnKey({ provider, memory }: AeadFixture): void {
  const cases = aeadCases("wycheproof_chacha20_poly1305.json").filter(({ nonce }) =>
    nonce.length === 12 && nonce.subarray(0, 4).every((byte) => byte === 0)
  );
  for (const { key, nonce, plaintext, sealed, tcId } of cases) {
    const [low, high] = counterOf(nonce);
    const aeadKey = provider.key(key);
    memory.bytes.set(plaintext, 1024);
    assert(aeadKey.seal(4096, 1024, plaintext.length, low, high));
    const result = memory.bytes.slice(4096, 4096 + sealed.length);
    assertEquals(
      result.subarray(0, plaintext.length),
      sealed.slice(0, plaintext.length),
      `case ${tcId}`,
    );
    assertEquals(result, chacha20poly1305(key, nonce).encrypt(plaintext), `case ${tcId}`);
    aeadKey.destroy();
  }
  assertEquals(cases.length, 10);
}

function crossCheck({ provider, memory }: AeadFixture): void {
  const random = new Random(1);
  const none = new Uint8Array(0);
  for (let round = 0; round < 300; round++) {
    const key = random.bytes(32);
    const length = round < 40 ? round : random.below(2001);
    const low = random.uint32();
    const high = random.uint32();
    const plaintext = random.bytes(length);
    const nonce = nonceOf(low, high);
    const expected: Uint8Array = chacha20poly1305(key, nonce).encrypt(plaintext);
    const message = `seed 1, round ${round}, ${length} bytes`;
    const associatedData = random.bytes(random.below(40));
    const field = provider.seal(key, nonce, associatedData, plaintext);
    assertEquals(field, chacha20poly1305(key, nonce, associatedData).encrypt(plaintext), message);
    assertEquals(provider.open(key, nonce, associatedData, field), plaintext, message);
    assertEquals(provider.seal(key, nonce, none, plaintext), expected, message);
    // A nonce that uses its first 32 bits, which those of packets leave zero.
    const fullNonce = random.bytes(12);
    assertEquals(
      provider.seal(key, fullNonce, associatedData, plaintext),
      chacha20poly1305(key, fullNonce, associatedData).encrypt(plaintext),
      message,
    );

    // Any alignment, apart and in place; one key object seals and opens in turn.
    const source = 64 + random.below(64);
    const destination = round % 2 === 0 ? source : 4096 + random.below(64);
    const back = round % 3 === 0 ? destination : 8192 + random.below(64);
    const aeadKey = provider.key(key);
    memory.bytes.set(plaintext, source);
    assert(aeadKey.seal(destination, source, length, low, high), message);
    const sealed = memory.bytes.slice(destination, destination + length + TAG_SIZE);
    assertEquals(sealed, expected as Uint8Array<ArrayBuffer>, message);
    assert(aeadKey.open(back, destination, length, low, high), message);
    assertEquals(memory.bytes.slice(back, back + length), plaintext, message);
    aeadKey.destroy();
  }
}

function checkCounters({ provider, memory }: AeadFixture): void {
  const key = new Random(2).bytes(32);
  const aeadKey = provider.key(key);
  const plaintext = new Random(3).bytes(48);
  const seen = new Set<string>();
  const counters = [[0, 0], [1, 0], [0x7fffffff, 0], [0x80000000, 0], [0xffffffff, 0], [0, 1]];
  counters.push([1, 1], [0, 0x80000000], [0xffffdffe, 0xffffffff]);
  for (const [low, high] of counters as [number, number][]) {
    memory.bytes.set(plaintext, 1024);
    assert(aeadKey.seal(4096, 1024, 48, low, high));
    const sealed = memory.bytes.slice(4096, 4096 + 64);
    assertEquals<Uint8Array>(sealed, chacha20poly1305(key, nonceOf(low, high)).encrypt(plaintext));
    seen.add(sealed.toHex());
  }
  assertEquals(seen.size, counters.length);
  aeadKey.destroy();
}

function refuseTampered({ provider, memory }: AeadFixture): void {
  const random = new Random(4);
  const key = random.bytes(32);
  const aeadKey = provider.key(key);
  const length = 21;
  memory.bytes.set(random.bytes(length), 1024);
  assert(aeadKey.seal(4096, 1024, length, 7, 0));
  for (let bit = 0; bit < (length + TAG_SIZE) * 8; bit++) {
    const at = 4096 + (bit >> 3);
    memory.bytes[at]! ^= 1 << (bit & 7);
    assertEquals(aeadKey.open(8192, 4096, length, 7, 0), false, `bit ${bit}`);
    memory.bytes[at]! ^= 1 << (bit & 7);
  }
  for (const [low, high] of [[6, 0], [8, 0], [7, 1], [0, 7]] as const) {
    assertEquals(aeadKey.open(8192, 4096, length, low, high), false);
  }
  assertEquals(aeadKey.open(8192, 4096, length - 1, 7, 0), false);
  assertEquals(aeadKey.open(8192, 4096, length + 1, 7, 0), false);
  key[31]! ^= 1;
  const otherKey = provider.key(key);
  assertEquals(otherKey.open(8192, 4096, length, 7, 0), false);
  otherKey.destroy();
  assert(aeadKey.open(8192, 4096, length, 7, 0));
  aeadKey.destroy();
}

function guardNeighbours({ provider, memory }: AeadFixture): void {
  const aeadKey = provider.key(new Random(5).bytes(32));
  for (const length of [0, 1, 15, 16, 17, 63, 64, 65, 1420]) {
    const region = memory.bytes.subarray(0, 12_288);
    region.fill(0xa5);
    assert(aeadKey.seal(4096, 1024, length, 1, 0));
    assert(aeadKey.open(8192, 4096, length, 1, 0));
    region.fill(0xa5, 4096, 4096 + length + TAG_SIZE);
    // What was opened is the 0xa5 that was sealed.
    assert(region.every((byte) => byte === 0xa5), `${length} bytes`);
  }
  aeadKey.destroy();
}

function copyKey({ provider, memory }: AeadFixture): void {
  const key = new Random(6).bytes(32);
  const original = key.slice();
  const aeadKey = provider.key(key);
  key.fill(0);
  memory.bytes.fill(1, 1024, 1040);
  assert(aeadKey.seal(4096, 1024, 16, 3, 0));
  assertEquals<Uint8Array>(
    memory.bytes.slice(4096, 4128),
    chacha20poly1305(original, nonceOf(3, 0)).encrypt(new Uint8Array(16).fill(1)),
  );
  aeadKey.destroy();
}

function destroyKey({ provider, memory }: AeadFixture): void {
  const aeadKey: AeadKey = provider.key(new Random(7).bytes(32));
  assert(aeadKey.seal(4096, 1024, 32, 0, 0));
  for (let time = 0; time < 2; time++) {
    aeadKey.destroy();
    const before = memory.bytes.slice(0, 12_288);
    assertEquals(aeadKey.seal(8192, 1024, 32, 1, 0), false);
    assertEquals(aeadKey.open(8192, 4096, 32, 0, 0), false);
    assertEquals(memory.bytes.slice(0, 12_288), before);
  }
}

function refuseSizes({ provider }: AeadFixture): void {
  const key = new Uint8Array(32);
  const nonce = new Uint8Array(12);
  const none = new Uint8Array(0);
  for (const size of [0, 16, 31, 33]) {
    const wrong = new Uint8Array(size);
    assertThrows(() => provider.key(wrong), RangeError, `${size} bytes`);
    assertThrows(() => provider.seal(wrong, nonce, none, none), RangeError, `${size} bytes`);
    assertEquals(provider.open(wrong, nonce, none, new Uint8Array(16)), null);
  }
  for (let size = 0; size < TAG_SIZE; size++) {
    assertEquals(provider.open(key, nonce, none, new Uint8Array(size)), null);
  }
}

function nonceOf(low: number, high: number): Uint8Array {
  const nonce = new Uint8Array(12);
  const view = new DataView(nonce.buffer);
  view.setUint32(4, low, true);
  view.setUint32(8, high, true);
  return nonce;
}

function counterOf(nonce: Uint8Array): [low: number, high: number] {
  const view = new DataView(nonce.buffer, nonce.byteOffset);
  return [view.getUint32(4, true), view.getUint32(8, true)];
}
