/** Tests of ChaCha20-Poly1305 by IPsec-MB, where the host has it and a processor that it is quicker on. */
import { Arena } from "../../../../ffi/arena.ts";
import { openIpsecMb } from "../../../../ffi/crypto/ipsec_mb.ts";
import { IMB_DECRYPT, IMB_ENCRYPT, IpsecMbJobs } from "../../../../ffi/crypto/ipsec_mb_jobs.ts";
import { KeyPlaces } from "../../../../ffi/crypto/key_places.ts";
import { type IpsecMbLibrary, loadIpsecMb } from "../../../../ffi/crypto/ipsec_mb_library.ts";
import { jobsWork } from "../../../../ffi/crypto/ipsec_mb_trial.ts";
import type { AeadProvider } from "../../../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "../../../support/assert.ts";
import { withFolder } from "../../../support/folder.ts";
import { testAead } from "../../../support/noise/aead_suite.ts";
import { testPacketCipher } from "../../../support/noise/packet_cipher_suite.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";
import { pathToFileURL } from "node:url";

/** Made here, as making one takes the permission as well. */
const UNUSED_ARENA = whereAllowed(() => new Arena(64));
const NAMES = ["libIPSec_MB.so.2", "libIPSec_MB.so.1"];
const TAG_SIZE = 16;

const ignore = !NAMES.some(isPresent);
const reason = ignore
  ? " (ignored: no libIPSec_MB.so here, or no processor with AVX-512 and IFMA)"
  : "";

for (const name of NAMES) {
  const suite = { ignore: !isPresent(name), open: () => openFixture([name]) };
  testAead(`openIpsecMb(${name})`, suite);
  testPacketCipher(`openIpsecMb(${name})`, suite);
}

hostTest({
  name: "IpsecMbJobs: a packet is zeros when the library has not sealed it" + reason,
  ignore,
  fn() {
    for (const lie of [() => 0, (_: unknown, length: number) => length]) {
      using fixture = openJobs();
      const { arena, packet, key, lies, sealing, opening } = fixture;
      arena.bytes.fill(5, packet, packet + 300);
      lies.submit_burst_nocheck_avx512_t2 = lie;
      assertEquals(sealing.take(key, packet, packet, 100, 1, 0), false);
      assertEquals(arena.bytes.slice(packet, packet + 116), new Uint8Array(100 + TAG_SIZE));
      assertEquals(arena.bytes[packet + 116], 5);
      assertEquals(opening.take(key, packet, packet, 0, 1, 0), false);
    }
  },
});

hostTest({
  name: "IpsecMbJobs: nothing is sealed or opened any more when they are closed" + reason,
  ignore,
  fn() {
    using fixture = openJobs();
    const { packet, key, sealing, opening } = fixture;
    for (const jobs of [sealing, opening]) {
      jobs.close();
      jobs.close();
      assertEquals(jobs.take(key, packet, packet, 0, 1, 0), false);
    }
  },
});

hostTest({
  name: "jobsWork() says yes of the host's IPsec-MB" + reason,
  ignore,
  fn() {
    const found = loadIpsecMb()!;
    assert(jobsWork(found.library.symbols, createBuiltinAead(new Arena(4096))));
    found.library.close();
  },
});

for (
  const [what, lie] of Object.entries<(symbols: Symbols) => Partial<Symbols>>({
    "gives too few jobs": () => ({ get_next_burst_avx512_t2: () => 0 }),
    "leaves its jobs undone": () => ({ submit_burst_nocheck_avx512_t2: () => 0 }),
    "says that it has done what it has not": () => ({
      submit_burst_nocheck_avx512_t2: (_, length) => length,
    }),
    "has jobs elsewhere": ({ get_next_burst_avx512_t2 }) => ({
      get_next_burst_avx512_t2: (manager, length, jobs) => {
        const count = get_next_burst_avx512_t2(manager, length, jobs);
        new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(jobs!, 8 * length))[5] ^= 0x10;
        new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(jobs!, 8 * length))[3] ^= 0x10;
        return count;
      },
    }),
    "makes no manager": () => ({ alloc_mb_mgr: () => null }),
    "fails its own test": () => ({ imb_get_errno: () => 2050 }),
  })
) {
  hostTest({
    name: `jobsWork() says no of a library that ${what}` + reason,
    ignore,
    fn() {
      const { library } = loadIpsecMb()!;
      const { symbols } = library;
      const reference = createBuiltinAead(new Arena(4096));
      assertEquals(jobsWork({ ...symbols, ...lie(symbols) }, reference), false);
      library.close();
    },
  });
}

hostTest({
  name: "jobsWork() says no where another library has other bytes" + reason,
  ignore,
  fn() {
    const { library } = loadIpsecMb()!;
    const right = createBuiltinAead(new Arena(4096));
    for (const at of [0, 15]) {
      const wrong = {
        name: "wrong",
        seal: (...fields: Parameters<AeadProvider["seal"]>) => {
          const sealed = right.seal(...fields);
          sealed[sealed.length - 1 - at] ^= 1;
          return sealed;
        },
        open: () => null,
      };
      assertEquals(jobsWork(library.symbols, wrong), false);
    }
    library.close();
  },
});

hostTest({
  name: "loadIpsecMb() takes the library beside the program first, whatever its folder is called" +
    reason,
  ignore,
  fn: () =>
    withFolder(async (folder) => {
      const program = `${folder}/a %41 ä`;
      Deno.mkdirSync(program);
      const source = new URL("../../../../ffi/crypto/ipsec_mb_library.ts", import.meta.url);
      Deno.copyFileSync(source, `${program}/library.ts`);
      for (const file of ["dynamic_library.ts", "linker.ts"]) {
        Deno.copyFileSync(new URL(`../${file}`, source), `${folder}/${file}`);
      }
      copyLibrary(`${program}/libIPSec_MB.so`);
      const module: { loadIpsecMb: typeof loadIpsecMb } = await import(
        `${pathToFileURL(`${program}/library.ts`)}`
      );
      const own = module.loadIpsecMb();
      own?.library.close();
      assertEquals(own?.name, "libIPSec_MB.so");
    }),
});

hostTest({
  name: "loadIpsecMb() takes a library that the linker has under another path than it was given" +
    reason,
  ignore,
  fn: () =>
    withFolder((folder) => {
      const path = `${folder}/libIPSec_MB.so`;
      copyLibrary(path);
      // As the runtime does with what is inside an executable of `deno compile`.
      const { dlopen } = Deno;
      Deno.dlopen = (name, symbols) => {
        if (name === path) Deno.renameSync(path, `${folder}/unpacked.so`);
        return dlopen(name === path ? `${folder}/unpacked.so` : name, symbols);
      };
      try {
        const found = loadIpsecMb([path]);
        found?.library.close();
        assertEquals(found?.name, "libIPSec_MB.so");
      } finally {
        Deno.dlopen = dlopen;
      }
      return Promise.resolve();
    }),
});

hostTest("openIpsecMb() gives null when no name can be opened, or is another library's", () => {
  const arena = new Arena(16_384);
  const fields = createBuiltinAead(arena);
  for (const name of ["libIPSec_MB.so.0", "/nonexistent", "libc.so.6", "libcrypto.so.3"]) {
    assertStrictEquals(openIpsecMb(arena, fields, [name]), null);
  }
});

hostTest({
  name: "openIpsecMb() throws when the permission is missing, for that is no missing library",
  permissions: { ffi: false },
  fn() {
    const fields = createBuiltinAead(UNUSED_ARENA);
    assertThrows(() => openIpsecMb(UNUSED_ARENA, fields), Deno.errors.NotCapable);
  },
});

type Symbols = IpsecMbLibrary["symbols"];

function openFixture(names: readonly string[] = NAMES) {
  const memory = new Arena(65_536);
  memory.allocate(12_288);
  const library = openIpsecMb(memory, createBuiltinAead(memory), names);
  assert(library !== null);
  const provider: AeadProvider = library;
  return { memory, provider, close: () => library.close() };
}

/** Jobs of both directions of a library that tells lies as soon as it is given some. */
function openJobs() {
  const { library } = loadIpsecMb()!;
  const { symbols } = library;
  const lies: { submit_burst_nocheck_avx512_t2?: (...args: [unknown, number]) => number } = {};
  const lying: Symbols = {
    ...symbols,
    submit_burst_nocheck_avx512_t2: (manager, length, jobs) =>
      lies.submit_burst_nocheck_avx512_t2?.(manager, length) ??
        symbols.submit_burst_nocheck_avx512_t2(manager, length, jobs),
  };
  const arena = new Arena(16_384);
  const sealing = new IpsecMbJobs(lying, arena, IMB_ENCRYPT);
  const opening = new IpsecMbJobs(lying, arena, IMB_DECRYPT);
  return {
    arena,
    packet: arena.allocate(4096),
    sealing,
    opening,
    key: new KeyPlaces().take(new Uint8Array(32).fill(1)),
    lies,
    [Symbol.dispose]() {
      sealing.close();
      opening.close();
      library.close();
    },
  };
}

/** Copies the host's library. */
function copyLibrary(to: string): void {
  const { library } = loadIpsecMb(NAMES)!;
  const path = /\/\S+\/libIPSec_MB\.so\.\S+/.exec(Deno.readTextFileSync("/proc/self/maps"))!;
  Deno.copyFileSync(path[0], to);
  library.close();
}

function isPresent(name: string): boolean {
  const found = whereAllowed(() => loadIpsecMb([name])) ?? null;
  found?.library.close();
  return found !== null;
}
