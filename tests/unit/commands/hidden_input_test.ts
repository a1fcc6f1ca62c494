/** Tests of lib/commands/hidden_input.ts, on a terminal that is played. */
import { readHidden } from "../../../lib/commands/hidden_input.ts";
import { AppError } from "../../../lib/process/errors.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

/** What comes of these bytes, and what was done to the terminal. */
async function typed(text: string, longest = 100) {
  const { read, setRaw } = Deno.stdin;
  const { writeSync } = Deno.stderr;
  const done: string[] = [];
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  Object.assign(Deno.stdin, {
    setRaw: (isRaw: boolean) => void done.push(isRaw ? "raw" : "cooked"),
    read: (into: Uint8Array) => {
      if (at >= bytes.length) return Promise.resolve(null);
      into[0] = bytes[at++]!;
      return Promise.resolve(1);
    },
  });
  Object.assign(Deno.stderr, {
    writeSync: (written: Uint8Array) => {
      done.push(new TextDecoder().decode(written));
      return written.length;
    },
  });
  try {
    return { line: await readHidden("Token: ", longest), done, left: bytes.length - at };
  } finally {
    Object.assign(Deno.stdin, { read, setRaw });
    Object.assign(Deno.stderr, { writeSync });
  }
}

Deno.test("the echo is off before the prompt, which a paste follows at once, and on again at the end", async () => {
  assertEquals(await typed("secret\rmore"), {
    line: "secret",
    done: ["raw", "Token: ", "cooked", "\n"],
    left: 4,
  });
});

Deno.test("a line ends where the input does, and is no longer than it may be by more than a byte", async () => {
  for (const end of ["\n", "\x04", ""]) assertEquals((await typed(`ab${end}`)).line, "ab");
  assertEquals((await typed("a".repeat(50), 20)).line.length, 21);
});

Deno.test("backspace takes a whole character, and Ctrl-C ends it", async () => {
  assertEquals((await typed("a\u00e9\u{1f600}\x7f\x08b\n")).line, "ab");
  assertEquals((await typed("\x7f\x7fa\n")).line, "a");
  await assertRejects(() => typed("ab\x03"), AppError, "Interrupted: nothing is done");
});
