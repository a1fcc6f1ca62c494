/** Tests of reading the console of a guest. */
import { assertEquals } from "../support/assert.ts";
import { GuestOutput } from "./guest_output.ts";

function reading(...lines: readonly string[]): { output: GuestOutput; shown: (string | null)[] } {
  const output = new GuestOutput("trixie-arm64");
  return { output, shown: lines.map((line) => output.take(line)) };
}

Deno.test("GuestOutput counts the tests of a guest, and shows how each ended", () => {
  const { output, shown } = reading(
    "\x1bc\x1b[2JBooting@@ machine 6.12.1 aarch64\r",
    "@@ begin it starts",
    "vpn 0.1.0",
    "@@ passed 3 s: it starts\r",
    "@@ begin it works",
    "@@ failed 70 s: it works",
    "@@ end",
  );
  assertEquals(shown, [
    "trixie-arm64: Linux 6.12.1 aarch64",
    null,
    null,
    "trixie-arm64: passed after 3 s: it starts",
    null,
    "trixie-arm64: failed after 70 s: it works",
    null,
  ]);
  assertEquals(output.counts, { passed: 1, failed: 1, skipped: 0 });
  assertEquals(output.failures, ["it works"]);
});

Deno.test("GuestOutput takes a guest that came to no end for a failure", () => {
  assertEquals(reading().output.counts, { passed: 0, failed: 1, skipped: 0 });
  const { output } = reading("@@ begin it starts", "@@ passed 3 s: it starts", "@@ begin it works");
  assertEquals(output.counts, { passed: 1, failed: 1, skipped: 0 });
  assertEquals(output.failures, ["it works"]);
  assertEquals(reading("@@ begin it starts", "@@ passed 3 s: it starts").output.failures, [
    "the guest trixie-arm64 ran to its end",
  ]);
});
