/** Tests of how libcrypto is opened: it must not take itself down at the process's end, beside threads that end. */
import { Arena } from "../../../../ffi/arena.ts";
import { openLibcrypto } from "../../../../ffi/crypto/libcrypto.ts";
import { openLibrary } from "../../../../ffi/crypto/libcrypto_library.ts";
import { openX25519 } from "../../../../ffi/crypto/libcrypto_x25519.ts";
import { assertEquals, assertStrictEquals } from "../../../support/assert.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";

const FFI = new URL("../../../../ffi/", import.meta.url).href;
const WAYS = {
  openLibcrypto: {
    file: "crypto/libcrypto.ts",
    call: (name: string) => `openLibcrypto(new Arena(4096), ["${name}"])`,
    opens: (name: string) => openLibcrypto(new Arena(4096), [name]),
  },
  openX25519: {
    file: "crypto/libcrypto_x25519.ts",
    call: (name: string) => `openX25519(new Arena(4096), "${name}")`,
    opens: (name: string) => openX25519(new Arena(4096), name),
  },
};

for (const name of ["libcrypto.so.3", "libcrypto.so.1.1"]) {
  for (const [way, { file, call, opens }] of Object.entries(WAYS)) {
    const isPresent = whereAllowed(() => isOpened(opens(name)));
    hostTest({
      name: `${way}(${name}) leaves the process's end alone${
        isPresent ? "" : " (ignored: there is no such library)"
      }`,
      ignore: !isPresent,
      async fn() {
        // What the library calls when it takes itself down ends the process by SIGABRT.
        const script = `
          import { Arena } from "${FFI}arena.ts";
          import { ${way} } from "${FFI}${file}";
          ${call(name)};
          const { abort } = Deno.dlopen("libc.so.6", { abort: { type: "pointer" } }).symbols;
          Deno.dlopen("${name}", { OPENSSL_atexit: { parameters: ["pointer"], result: "i32" } })
            .symbols.OPENSSL_atexit(abort);
          Deno.exit(7);`;
        const { code, signal } = await new Deno.Command(Deno.execPath(), {
          args: ["eval", "--no-check", script],
        }).output();
        assertEquals({ code, signal }, { code: 7, signal: null });
      },
    });
  }
}

hostTest(
  "openLibrary() gives null when there is no such library, it is another, or lacks a function",
  () => {
    const symbols = { no_such_function: { parameters: [], result: "void" } } as const;
    assertStrictEquals(openLibrary("libcrypto.so.99", {}), null);
    assertStrictEquals(openLibrary("libc.so.6", {}), null);
    for (const name of ["libcrypto.so.3", "libcrypto.so.1.1"]) {
      assertStrictEquals(openLibrary(name, symbols), null);
    }
  },
);

function isOpened(provider: { close(): void } | null): boolean {
  provider?.close();
  return provider !== null;
}
