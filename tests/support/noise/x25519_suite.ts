/**
 * Suite that every X25519 provider must pass: Wycheproof's cases, RFC 7748's, and agreement with the built-in one on
 * random keys, whole handshakes included.
 */
import { createBuiltinAead } from "../../../lib/core/noise/aead_builtin.ts";
import type { X25519Provider } from "../../../lib/core/noise/key_pair.ts";
import { builtinX25519 } from "../../../lib/core/noise/x25519.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { Random } from "../random.ts";
import { agreedSecret } from "./agreed_secret.ts";
import { type ProviderSuite, testProvider } from "./provider_suite.ts";
import { checkNoiseVector } from "./noise_vector.ts";
import { type DhCase, dhCases, fromHex, tally } from "./vectors.ts";

/** Little-endian 9, the base point. */
const BASE_POINT = fromHex("09" + "00".repeat(31));

export interface X25519Fixture {
  readonly provider: X25519Provider;
  /** Releases what the provider holds. */
  close(): void;
}

/** Registers the tests of a provider under `name`. */
export function testX25519(name: string, suite: ProviderSuite<X25519Fixture>): void {
  const tests = Object.entries(TESTS).map(([behaviour, run]) =>
    [behaviour, ({ provider }: X25519Fixture) => run(provider)] as const
  );
  testProvider(name, suite, Object.fromEntries(tests));
}

const TESTS: Record<string, (provider: X25519Provider) => void> = {
  "agree() does as all 518 Wycheproof cases say": runWycheproof,
  "agree() gives RFC 7748's result when iterated 1,000 times": iterate,
  "agree() gives RFC 7748's results of section 5.2": runSection52,
  "keyPair() gives the keys of RFC 7748 section 6.1": runSection61,
  "public keys and shared secrets are the built-in ones when keys are random": crossCheck,
  "one pair agrees with one key after another, refused ones between them": agreeInTurn,
  "a refused agreement leaves zeros": refuseWithZeros,
  "keyPair() copies the secret when the caller overwrites it": copySecret,
  "destroy() makes agree() false when called once or twice": destroyPair,
  "all methods throw when a key is not 32 bytes": refuseSizes,
  "a handshake is that of Noise's vector": (provider) => {
    const memory = createMemory(4096);
    checkNoiseVector(createBuiltinAead(memory), memory, provider);
  },
};

/**
 * How each class of Wycheproof's is treated. `acceptable` leaves the choice to the implementation; here
 *
 * - a shared secret of zero (all 31 cases of low order) is refused, as WireGuard asks;
 * - a point on the twist, and a public key that is not reduced or has its top bit set, give the shared secret that
 *   RFC 7748 section 5 prescribes for them.
 */
function treatment(test: DhCase): string {
  if (test.flags.includes("ZeroSharedSecret")) return "refused: zero shared secret";
  if (test.result === "valid") return "agreed: valid";
  if (test.flags.includes("NonCanonicalPublic")) return "agreed: public key not reduced";
  if (test.flags.includes("Twist")) return "agreed: point on the twist";
  return "unknown";
}

function runWycheproof(provider: X25519Provider): void {
  const cases = dhCases("wycheproof_x25519.json");
  for (const test of cases) {
    const expected = treatment(test).startsWith("refused") ? null : test.shared;
    assertEquals(
      agreedSecret(test.secret, test.publicKey, provider),
      expected,
      `case ${test.tcId}`,
    );
  }
  assertEquals(cases.length, 518);
  assertEquals(tally(cases.map(treatment)), {
    "agreed: valid": 264,
    "agreed: point on the twist": 210,
    "agreed: public key not reduced": 13,
    "refused: zero shared secret": 31,
  });
}

function iterate(provider: X25519Provider): void {
  let scalar = BASE_POINT;
  let point = BASE_POINT;
  for (let round = 1; round <= 1000; round++) {
    const next = agreedSecret(scalar, point, provider);
    assert(next !== null);
    point = scalar;
    scalar = next;
    if (round === 1) {
      assertEquals(
        scalar.toHex(),
        "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
      );
    }
  }
  assertEquals(
    scalar.toHex(),
    "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
  );
}

function runSection52(provider: X25519Provider): void {
  const [first, second] = [
    agreedSecret(
      fromHex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
      fromHex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
      provider,
    ),
    agreedSecret(
      fromHex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
      fromHex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
      provider,
    ),
  ];
  assertEquals(
    first?.toHex(),
    "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
  );
  assertEquals(
    second?.toHex(),
    "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
  );
}

function runSection61(provider: X25519Provider): void {
  const alice = provider.keyPair(
    fromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
  );
  const bob = provider.keyPair(
    fromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
  );
  assertEquals(
    alice.public.toHex(),
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
  );
  assertEquals(
    bob.public.toHex(),
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  );
  for (const [ours, theirs] of [[alice, bob], [bob, alice]] as const) {
    const result = new Uint8Array(32);
    assert(ours.agree(theirs.public, result));
    assertEquals(
      result.toHex(),
      "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    );
  }
  alice.destroy();
  bob.destroy();
}

function crossCheck(provider: X25519Provider): void {
  const random = new Random(1);
  for (let round = 0; round < 300; round++) {
    const [secret, publicKey] = [random.bytes(32), random.bytes(32)];
    const pair = provider.keyPair(secret);
    const message = `seed 1, round ${round}`;
    assertEquals(pair.public, builtinX25519.keyPair(secret).public, message);
    assertEquals<Uint8Array | null>(
      pair.public,
      agreedSecret(secret, BASE_POINT, provider),
      message,
    );
    assertEquals(
      agreedSecret(secret, publicKey, provider),
      agreedSecret(secret, publicKey),
      message,
    );
    pair.destroy();
  }
}

/** What is kept from one key to the next must not show. */
function agreeInTurn(provider: X25519Provider): void {
  const random = new Random(2);
  const lowOrder = dhCases("wycheproof_x25519.json")
    .filter((test) => test.flags.includes("ZeroSharedSecret"))
    .map((test) => test.publicKey);
  assertEquals(lowOrder.length, 31);
  const secrets = [random.bytes(32), random.bytes(32), random.bytes(32)];
  const pairs = secrets.map((secret) => provider.keyPair(secret));
  const result = new Uint8Array(32);
  for (let round = 0; round < 310; round++) {
    const [which, publicKey] = [random.below(3), random.bytes(32)];
    const message = `seed 2, round ${round}`;
    assert(pairs[which]!.agree(publicKey, result), message);
    assertEquals(result, agreedSecret(secrets[which]!, publicKey), message);
    assert(!pairs[random.below(3)]!.agree(lowOrder[round % lowOrder.length]!, result), message);
  }
  pairs.forEach((pair) => pair.destroy());
}

function refuseWithZeros(provider: X25519Provider): void {
  const pair = provider.keyPair(new Random(3).bytes(32));
  for (const publicKey of [new Uint8Array(32), fromHex("01" + "00".repeat(31))]) {
    const result = new Uint8Array(32).fill(0xa5);
    assert(!pair.agree(publicKey, result));
    assertEquals(result, new Uint8Array(32));
  }
  pair.destroy();
}

function copySecret(provider: X25519Provider): void {
  const secret = new Random(4).bytes(32);
  const kept = secret.slice();
  const pair = provider.keyPair(secret);
  const result = new Uint8Array(32);
  secret.fill(0);
  assert(pair.agree(BASE_POINT, result));
  assertEquals(result, agreedSecret(kept, BASE_POINT));
  // Nor does the end of the pair reach the caller's bytes.
  secret.set(kept);
  pair.destroy();
  assertEquals(secret, kept);
}

function destroyPair(provider: X25519Provider): void {
  const pair = provider.keyPair(new Random(5).bytes(32));
  const other = provider.keyPair(new Random(6).bytes(32));
  const publicKey = pair.public.slice();
  const result = new Uint8Array(32);
  for (let times = 0; times < 2; times++) {
    pair.destroy();
    result.fill(0xa5);
    assert(!pair.agree(BASE_POINT, result));
    assertEquals(result, new Uint8Array(32));
  }
  assertEquals(pair.public, publicKey);
  assert(other.agree(BASE_POINT, result));
  other.destroy();
}

function refuseSizes(provider: X25519Provider): void {
  const pair = provider.keyPair(new Random(7).bytes(32));
  const good = new Uint8Array(32).fill(1);
  for (const size of [0, 31, 33, 64]) {
    const wrong = new Uint8Array(size);
    assertThrows(() => provider.keyPair(wrong), RangeError, `${size} bytes`);
    assertThrows(() => pair.agree(wrong, good), RangeError, `${size} bytes`);
    assertThrows(() => pair.agree(good, wrong), RangeError, `${size} bytes`);
  }
  pair.destroy();
}
