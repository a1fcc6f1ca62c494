/** Tests the closing table and line of a run. */
import { assertEquals } from "../support/assert.ts";
import { countsLine, failureLines, type Outcome, summaryTable, totalOf } from "./summary.ts";

const OUTCOMES: readonly Outcome[] = [
  { name: "format", duration: 1_234, counts: { passed: 1, failed: 0, skipped: 0 }, note: "" },
  {
    name: "net",
    duration: 100_000,
    counts: { passed: 40, failed: 2, skipped: 3 },
    note: "ended after 9 min",
  },
];

Deno.test("summaryTable() aligns names to the left, numbers to the right, and leaves 0 out", () => {
  assertEquals(
    summaryTable(OUTCOMES),
    [
      "step       time  passed  failed  skipped",
      "format    1.2 s       1       -        -",
      "net     100.0 s      40       2        3  ended after 9 min",
    ].join("\n"),
  );
});

Deno.test("countsLine() gives the totals in the form that CI reads", () => {
  assertEquals(countsLine(totalOf(OUTCOMES)), "41 passed, 2 failed, 3 skipped");
  assertEquals(countsLine(totalOf([])), "0 passed, 0 failed, 0 skipped");
});

Deno.test("failureLines() say what failed, where it wrote, and how to run it again", () => {
  const counts = { passed: 0, failed: 2, skipped: 0 };
  const failures = [
    { name: 'says "no"', file: "tests/a_test.ts", log: "/tmp/x/tests-a_test.log" },
    { name: null, file: "vpn demo", log: "/tmp/x/vpn-demo.log" },
  ];
  assertEquals(failureLines([{ name: "unit", duration: 1, counts, note: "", failures }], 7), [
    'unit: says "no" FAILED',
    "  all that it wrote: /tmp/x/tests-a_test.log",
    '  once more: VPN_SEED=7 deno test -A tests/a_test.ts --filter "says \\"no\\""',
    "unit: vpn demo FAILED",
    "  all that it wrote: /tmp/x/vpn-demo.log",
  ]);
  assertEquals(failureLines(OUTCOMES, 7), []);
});
