/** Shows how text that changes is shown where it cannot be overwritten. */
import { screenful } from "../../../../lib/commands/status/screen.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("screenful() writes one text after the other into a pipe, without control sequences", () => {
  const written: string[] = [];
  const stream = {
    isTerminal: () => false,
    writeSync: (bytes: Uint8Array) => {
      written.push(new TextDecoder().decode(bytes));
      return bytes.length;
    },
  };
  {
    using screen = screenful(stream);
    assertEquals(screen.show(["a", "b"]), true);
    assertEquals(screen.show([]), true);
  }
  assertEquals(written.join(""), "a\nb\n\n\n\n");
});

Deno.test("show() says when nobody reads any more", () => {
  const stream = {
    isTerminal: () => false,
    writeSync: (): number => {
      throw new Deno.errors.BrokenPipe();
    },
  };
  using screen = screenful(stream);
  assertEquals(screen.show(["a"]), false);
});
