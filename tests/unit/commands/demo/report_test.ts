/** Shows what the demo prints, as plain lines and on a terminal, and how steps are counted. */
import {
  DemoReport,
  formatRate,
  formatTime,
  Interruption,
} from "../../../../lib/commands/demo/report.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

class Screen {
  text = "";

  writeSync(bytes: Uint8Array): number {
    this.text += new TextDecoder().decode(bytes);
    return bytes.length;
  }
}

const PLAIN = { colour: false, showRunning: false };

function fails(message: string): () => Promise<never> {
  return () => Promise.reject(new Error(message));
}

Deno.test("Report prints aligned plain lines and the count", async () => {
  const screen = new Screen();
  const report = new DemoReport(screen, PLAIN);
  report.heading("A demo");
  const ping = () => Promise.resolve({ text: "5 of 5", time: 4.567 });
  const download = () => Promise.resolve({ text: "the same", time: 333, rate: 1.612e9 });
  assertEquals(await report.step("ping", ping), true);
  assertEquals(await report.step("download", download), true);
  assertEquals(report.finish(), 0);
  assertEquals(
    screen.text,
    "A demo\n\n" +
      "  ✓ ping                      5 of 5                        4.57 ms\n" +
      "  ✓ download                  the same                       333 ms  1.61 Gbit/s\n" +
      "\n2 passed, 0 failed\n",
  );
});

Deno.test("Report counts a step that throws as failed, one not run as neither, and exits with 1", async () => {
  const screen = new Screen();
  const report = new DemoReport(screen, PLAIN);
  assertEquals(await report.step("connect", fails("no answer")), false);
  report.skip("ping");
  assertEquals(report.finish(), 1);
  assertEquals(
    screen.text,
    "  ✗ connect                   no answer\n" +
      "  - ping                      not run\n" +
      "\n0 passed, 1 failed\n",
  );
});

Deno.test("Report measures the time of a step that gives none", async () => {
  const screen = new Screen();
  const wait = async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { text: "done" };
  };
  await new DemoReport(screen, PLAIN).step("wait", wait);
  assertEquals(Number(/([\d.]+) ms\n$/.exec(screen.text)?.[1]) >= 19, true, screen.text);
});

Deno.test("Report overwrites a running step when it is on a terminal", async () => {
  const screen = new Screen();
  const report = new DemoReport(screen, { colour: true, showRunning: true });
  await report.step("connect", fails("no answer"));
  const [running, outcome] = screen.text.split("\r");
  assertEquals(running, "\x1b[90m  … connect\x1b[0m");
  assertEquals(
    outcome,
    `\x1b[2K  \x1b[31m✗\x1b[0m ${"connect".padEnd(25)} \x1b[31mno answer\x1b[0m\n`,
  );
});

Deno.test("Report passes an interruption on and counts nothing", async () => {
  const screen = new Screen();
  const report = new DemoReport(screen, PLAIN);
  await assertRejects(
    () => report.step("connect", () => Promise.reject(new Interruption("SIGINT"))),
    Interruption,
    "SIGINT",
  );
  assertEquals(screen.text, "");
  assertEquals(report.finish(), 0);
  assertEquals(screen.text, "\n0 passed, 0 failed\n");
});

Deno.test("formatTime() and formatRate() take the unit that fits", () => {
  assertEquals([0.306, 9.994, 12.4, 999.4, 1240].map(formatTime), [
    "0.31 ms",
    "9.99 ms",
    "12 ms",
    "999 ms",
    "1.24 s",
  ]);
  assertEquals([940e6, 2.3456e9, 12_500].map(formatRate), [
    "940 Mbit/s",
    "2.35 Gbit/s",
    "12.5 kbit/s",
  ]);
});
