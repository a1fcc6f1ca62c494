/** Suite of a library that ciphers packets by FFI: what it takes of memory, and every length of a packet. */
import { createBuiltinAead } from "../../../lib/core/noise/aead_builtin.ts";
import { assert } from "../assert.ts";
import { heapGrowth } from "../heap_growth.ts";
import { nativeGrowth } from "../native_growth.ts";
import { Random } from "../random.ts";
import type { AeadFixture } from "./aead_suite.ts";
import { type ProviderSuite, testProvider } from "./provider_suite.ts";

/** Calls for which a single 16-byte object each would show as 320 kB. */
const CALLS = 20_000;

/** Registers the tests of a provider under `name`; each file of them runs in a process of its own. */
export function testPacketCipher(name: string, suite: ProviderSuite<AeadFixture>): void {
  testProvider(name, suite, TESTS);
}

const TESTS: Record<string, (fixture: AeadFixture) => void> = {
  "seal() and open() allocate nothing when a packet passes": allocateNothing,
  "key() keeps no memory when it is destroyed, nor does a refused packet": keepNothing,
  "packets of all lengths up to 2,000 bytes are as another library has them": sealAllLengths,
};

function allocateNothing({ provider }: AeadFixture): void {
  const key = provider.key(new Uint8Array(32));
  let good = true;
  let counter = 0;
  const grown = heapGrowth(CALLS, () => {
    counter++;
    good &&= key.seal(4096, 4096, 1420, counter, 0) && key.open(4096, 4096, 1420, counter, 0);
  });
  key.destroy();
  assert(good);
  assert(grown < CALLS, `${grown} bytes in ${CALLS} calls`);
}

function keepNothing({ provider }: AeadFixture): void {
  // 200,000 keys of 32 bytes would take 6 MB more than that, 200,000 contexts a hundred.
  const limit = 8e6;
  const grown = nativeGrowth(limit, () => {
    for (let round = 0; round < 200_000; round++) {
      const key = provider.key(new Uint8Array(32));
      if (round % 8 === 0) assert(!key.open(4096, 8192, 100, round, 0));
      key.destroy();
    }
  });
  assert(grown < limit, `${grown} bytes`);
}

function sealAllLengths({ provider, memory }: AeadFixture): void {
  const random = new Random(3);
  const secret = random.bytes(32);
  const key = provider.key(secret);
  const other = createBuiltinAead(memory).key(secret);
  const { bytes } = memory;
  for (let i = 0; i < 2_000; i++) bytes[4096 + i] = random.between(0, 255);
  for (let length = 0; length <= 2_000; length++) {
    assert(key.seal(8192, 4096, length, length, 1) && other.open(8192, 8192, length, length, 1));
    assert(other.seal(8192, 4096, length, length, 2) && key.open(8192, 8192, length, length, 2));
    const isEqual = bytes.subarray(4096, 4096 + length).toHex() ===
      bytes.subarray(8192, 8192 + length).toHex();
    assert(isEqual, `${length} bytes`);
  }
  key.destroy();
  other.destroy();
}
