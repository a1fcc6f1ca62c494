/** Tests of ChaCha20-Poly1305 by BoringSSL, where the host has it as Debian packages it. */
import { Arena } from "../../../../ffi/arena.ts";
import { boringsslWorks, openBoringssl } from "../../../../ffi/crypto/boringssl.ts";
import {
  boringsslNames,
  type BoringsslSymbols,
  HOST_BORINGSSL,
  loadBoringssl,
} from "../../../../ffi/crypto/boringssl_library.ts";
import type { AeadProvider } from "../../../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "../../../support/assert.ts";
import { withFolder } from "../../../support/folder.ts";
import { testAead } from "../../../support/noise/aead_suite.ts";
import { testPacketCipher } from "../../../support/noise/packet_cipher_suite.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";
import { run } from "../../../support/process.ts";
import { Random } from "../../../support/random.ts";
import { pathToFileURL } from "node:url";

/** Made here, as making one takes the permission as well. */
const UNUSED_ARENA = whereAllowed(() => new Arena(64));
const PATH = HOST_BORINGSSL;

const ignore = !isPresent(PATH);
const reason = ignore ? ` (ignored: no ${PATH} here)` : "";

const suite = { ignore, open: openFixture };
testAead(`openBoringssl(${PATH})`, suite);
testPacketCipher(`openBoringssl(${PATH})`, suite);

hostTest({
  name: "openBoringssl(): the longest packets are sealed and opened" + reason,
  ignore,
  fn() {
    const { provider, memory, close } = openFixture();
    const key = provider.key(new Random(5).bytes(32));
    const other = createBuiltinAead(memory).key(new Random(5).bytes(32));
    const [packet, length] = [131_072, 65_535];
    memory.bytes.fill(7, packet, packet + length);
    assert(key.seal(packet, packet, length, 1, 2) && other.open(packet, packet, length, 1, 2));
    assert(other.seal(packet, packet, length, 3, 4) && key.open(packet, packet, length, 3, 4));
    assert(memory.bytes.subarray(packet, packet + length).every((byte) => byte === 7));
    key.destroy();
    other.destroy();
    close();
  },
});

hostTest({
  name: "openBoringssl(): what is refused changes no byte beyond the packet, in place or not" +
    reason,
  ignore,
  fn() {
    const { provider, memory, close } = openFixture();
    const key = provider.key(new Uint8Array(32));
    for (const [destination, length] of [[4096, 0], [4096, 1], [4096, 1420], [8192, 1420]]) {
      memory.bytes.fill(9, 4000, 12_288);
      assert(!key.open(destination, 4096, length, 1, 0));
      const isLeft = memory.bytes.subarray(4000, 12_288).every((byte, index) => {
        const at = 4000 + index;
        return byte === 9 || at >= destination && at < destination + length;
      });
      assert(isLeft, `${length} bytes to ${destination}`);
    }
    key.destroy();
    close();
  },
});

for (
  const [what, lie] of Object.entries<(symbols: BoringsslSymbols) => Partial<BoringsslSymbols>>({
    "seals nothing": () => ({ EVP_AEAD_CTX_seal: () => 0 }),
    "says that it has sealed what it has not": () => ({ EVP_AEAD_CTX_seal: () => 1 }),
    "opens nothing": () => ({ EVP_AEAD_CTX_open: () => 0 }),
    "opens what is forged": ({ EVP_AEAD_CTX_open }) => ({
      EVP_AEAD_CTX_open: (...call) => {
        EVP_AEAD_CTX_open(...call);
        return 1;
      },
    }),
  })
) {
  hostTest({
    name: `boringsslWorks() says no of a library that ${what}` + reason,
    ignore,
    fn() {
      const { library } = loadBoringssl(PATH)!;
      const { symbols } = library;
      const reference = createBuiltinAead(new Arena(4096));
      assert(boringsslWorks(symbols, reference));
      assertEquals(boringsslWorks({ ...symbols, ...lie(symbols) }, reference), false);
      library.close();
    },
  });
}

hostTest({
  name: "openBoringssl(): a thread that it has refused a packet in ends in good order, with the " +
    "library closed before" + reason,
  ignore,
  async fn() {
    await withFolder(async (folder) => {
      const root = new URL("../../../../", import.meta.url);
      const imports = [
        ["Arena", "ffi/arena.ts"],
        ["openBoringssl", "ffi/crypto/boringssl.ts"],
        ["createBuiltinAead", "lib/core/noise/aead_builtin.ts"],
      ].map(([name, path]) => `import { ${name} } from "${new URL(path!, root)}";`);
      await Deno.writeTextFile(
        `${folder}/thread.ts`,
        `${imports.join("\n")}
        const arena = new Arena(65_536);
        const library = openBoringssl(arena, createBuiltinAead(arena), ["${PATH}"])!;
        const key = library.key(new Uint8Array(32));
        postMessage(key.open(4096, 4096, 100, 1, 0));
        key.destroy();
        library.close();
        close();`,
      );
      // Another thread than the main one, which alone has the library.
      const program = `
        const thread = new Worker("${pathToFileURL(`${folder}/thread.ts`)}", { type: "module" });
        thread.onmessage = ({ data }) => {
          console.log(data);
          thread.terminate();
          setInterval(() => {
            if (Array.from(Deno.readDirSync("/proc/self/task")).length <= before) Deno.exit();
          }, 5);
        };
        const before = Array.from(Deno.readDirSync("/proc/self/task")).length;`;
      await Deno.writeTextFile(`${folder}/main.ts`, program);
      const { code, stdout, stderr } = await run(null, [
        Deno.execPath(),
        "run",
        "-A",
        "--no-check",
        `--config=${new URL("deno.json", root).pathname}`,
        `${folder}/main.ts`,
      ]);
      assertEquals({ code, stdout, stderr }, { code: 0, stdout: "false\n", stderr: "" });
    });
  },
});

hostTest({
  name: "boringsslNames() begins with the library beside the program" + reason,
  ignore,
  fn: () =>
    withFolder(async (folder) => {
      Deno.mkdirSync(`${folder}/a`);
      const source = new URL("../../../../ffi/crypto/boringssl_library.ts", import.meta.url);
      Deno.copyFileSync(source, `${folder}/a/library.ts`);
      for (const file of ["dynamic_library.ts", "linker.ts", "machine.ts"]) {
        Deno.copyFileSync(new URL(`../${file}`, source), `${folder}/${file}`);
      }
      Deno.copyFileSync(PATH, `${folder}/a/libboringssl.so`);
      const module: typeof import("../../../../ffi/crypto/boringssl_library.ts") = await import(
        `${pathToFileURL(`${folder}/a/library.ts`)}`
      );
      const own = module.loadBoringssl(module.boringsslNames("auto")[0]!);
      own?.library.close();
      assertEquals(own?.name, "libboringssl.so");
    }),
});

hostTest({
  name: "loadBoringssl() does not let the host's library pass for OpenSSL's" + reason,
  ignore,
  fn() {
    const found = loadBoringssl(PATH);
    found?.library.close();
    assertEquals(found?.name, "libcrypto.so.0 (BoringSSL)");
  },
});

hostTest({
  name: "openBoringssl() takes the first name that works" + reason,
  ignore,
  fn: () =>
    withFolder((folder) => {
      const text = `${folder}/libboringssl.so`;
      Deno.writeTextFileSync(text, "not a library");
      const arena = new Arena(16_384);
      const provider = openBoringssl(arena, createBuiltinAead(arena), ["/nonexistent", text, PATH]);
      assertEquals(provider?.name, "libcrypto.so.0 (BoringSSL)");
      provider?.close();
      return Promise.resolve();
    }),
});

hostTest(
  "boringsslNames() has the host's library only where BoringSSL is asked for by name",
  () => {
    const own = boringsslNames("auto");
    assertEquals(own.length, 1);
    assertEquals(boringsslNames("boringssl"), [...own, HOST_BORINGSSL]);
    for (const aead of ["ipsec-mb", "libcrypto", "builtin"]) assertEquals(boringsslNames(aead), []);
  },
);

hostTest("openBoringssl() gives null when no name can be opened, or is another library's", () => {
  const arena = new Arena(16_384);
  const fields = createBuiltinAead(arena);
  for (const name of ["libboringssl.so.0", "/nonexistent", "libc.so.6", "libcrypto.so.3"]) {
    assertStrictEquals(openBoringssl(arena, fields, [name]), null);
  }
});

hostTest({
  name: "openBoringssl() throws when the permission is missing, for that is no missing library",
  permissions: { ffi: false },
  fn() {
    const fields = createBuiltinAead(UNUSED_ARENA);
    assertThrows(() => openBoringssl(UNUSED_ARENA, fields, [PATH]), Deno.errors.NotCapable);
  },
});

function openFixture() {
  const memory = new Arena(262_144);
  memory.allocate(12_288);
  const library = openBoringssl(memory, createBuiltinAead(memory), [PATH]);
  assert(library !== null);
  const provider: AeadProvider = library;
  return { memory, provider, close: () => library.close() };
}

function isPresent(name: string): boolean {
  const found = whereAllowed(() => loadBoringssl(name)) ?? null;
  found?.library.close();
  return found !== null;
}
