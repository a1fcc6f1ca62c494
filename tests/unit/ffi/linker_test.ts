/** Tests of keeping a library loaded, and of finding its symbols. */
import { keepLoaded } from "../../../ffi/linker.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

hostTest("keepLoaded() finds a library by an address within it, and its symbols by name", () => {
  // It gives a buffer of libc's own (ctime(3)).
  const libc = Deno.dlopen("libc.so.6", { ctime: { parameters: ["buffer"], result: "pointer" } });
  const inside = libc.symbols.ctime(new BigUint64Array(1));
  const found = keepLoaded(inside, ["malloc", "no_such_symbol", "free"]);
  libc.close();
  assert(found !== null);
  assertEquals(found.map((pointer) => pointer !== null), [true, false, true]);
});

hostTest("keepLoaded() gives null for an address that no library has", () => {
  for (const address of [null, Deno.UnsafePointer.of(new Uint8Array(4096))]) {
    assertEquals(keepLoaded(address), null);
  }
});
