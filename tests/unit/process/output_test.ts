/** Shows that text reaches a stream whole, or is given up quietly where nobody reads, and when colour is used. */
import { takesColour, writeText } from "../../../lib/process/output.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

/** A stream that takes at most `step` bytes a call and remembers all. */
function slowStream(step: number): { written: number[]; writeSync(bytes: Uint8Array): number } {
  const written: number[] = [];
  return {
    written,
    writeSync(bytes) {
      const taken = bytes.subarray(0, step);
      written.push(...taken);
      return taken.length;
    },
  };
}

function failingStream(error: Error): { writeSync(): number } {
  return {
    writeSync() {
      throw error;
    },
  };
}

Deno.test("writeText() writes all when the stream takes a part at a time", () => {
  const stream = slowStream(3);
  assertEquals(writeText(stream, "één regel\n"), true);
  assertEquals(new TextDecoder().decode(Uint8Array.from(stream.written)), "één regel\n");
});

Deno.test("writeText() returns false when nobody reads or the stream is full", () => {
  assertEquals(writeText(failingStream(new Deno.errors.BrokenPipe()), "x"), false);
  assertEquals(writeText(failingStream(new Deno.errors.WouldBlock()), "x"), false);
  const closedTerminal = Object.assign(new Error("Input/output error"), { code: "EIO" });
  assertEquals(writeText(failingStream(closedTerminal), "x"), false);
});

Deno.test("writeText() throws when the stream fails otherwise", () => {
  assertThrows(() => writeText(failingStream(new TypeError("odd")), "x"), TypeError, "odd");
});

hostTest("takesColour() is true on a terminal alone, and not with NO_COLOR or TERM=dumb", () => {
  const terminal = { isTerminal: () => true };
  const saved = ["NO_COLOR", "TERM"].map((name) => [name, Deno.env.get(name)] as const);
  try {
    Deno.env.delete("NO_COLOR");
    Deno.env.set("TERM", "xterm");
    assertEquals(takesColour(terminal), true);
    assertEquals(takesColour({ isTerminal: () => false }), false);
    Deno.env.set("NO_COLOR", "");
    assertEquals(takesColour(terminal), true);
    Deno.env.set("NO_COLOR", "1");
    assertEquals(takesColour(terminal), false);
    Deno.env.delete("NO_COLOR");
    Deno.env.set("TERM", "dumb");
    assertEquals(takesColour(terminal), false);
  } finally {
    for (const [name, value] of saved) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
});
