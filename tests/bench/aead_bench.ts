/** Micro-benchmarks of the ciphers: a packet sealed and opened, by each provider. */
import { Arena } from "../../ffi/arena.ts";
import { openBoringssl } from "../../ffi/crypto/boringssl.ts";
import { HOST_BORINGSSL } from "../../ffi/crypto/boringssl_library.ts";
import { openIpsecMb } from "../../ffi/crypto/ipsec_mb.ts";
import { openLibcrypto } from "../../ffi/crypto/libcrypto.ts";
import type { AeadProvider } from "../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../lib/core/noise/aead_builtin.ts";
import { FULL_SIZE, pattern, SMALL_SIZE } from "./packets.ts";

const arena = new Arena(64 * 1024);
const builtin = createBuiltinAead(arena);
const libcrypto = openLibcrypto(arena);
const ipsecMb = openIpsecMb(arena, libcrypto ?? builtin);
const boringssl = openBoringssl(arena, libcrypto ?? builtin, [HOST_BORINGSSL]);
const providers: AeadProvider[] = [ipsecMb, boringssl, libcrypto, builtin].filter((it) =>
  it !== null
);

for (const length of [SMALL_SIZE, FULL_SIZE]) {
  const plain = arena.allocate(2048);
  const sealed = arena.allocate(2048);
  arena.bytes.set(pattern(length), plain);
  for (const provider of providers) {
    const key = provider.key(pattern(32));
    let counter = 0;
    Deno.bench(`seal() ${length} bytes, ${provider.name}`, { group: `seal ${length}` }, () => {
      key.seal(sealed, plain, length, counter++, 0);
    });
  }
  for (const provider of providers) {
    const key = provider.key(pattern(32));
    const own = arena.allocate(2048);
    const opened = arena.allocate(2048);
    key.seal(own, plain, length, 7, 0);
    if (!key.open(opened, own, length, 7, 0)) throw new Error("Cannot open what was sealed");
    Deno.bench(`open() ${length} bytes, ${provider.name}`, { group: `open ${length}` }, () => {
      key.open(opened, own, length, 7, 0);
    });
  }
}
