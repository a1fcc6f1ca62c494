/** Tests of tests/support/close.ts. */
import { assertThrows } from "./assert.ts";
import { closeQuietly } from "./close.ts";
import { hostTest } from "./permissions.ts";

hostTest("closeQuietly() closes once and does not mind what is closed already", () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  closeQuietly(listener);
  closeQuietly(listener);
  assertThrows(() => listener.close(), Deno.errors.BadResource);
});

Deno.test("closeQuietly() passes on any other error", () => {
  const broken = {
    close() {
      throw new Error("broken");
    },
  };
  assertThrows(() => closeQuietly(broken), Error, "broken");
});
