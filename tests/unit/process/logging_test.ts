/** Shows how log lines look in each format, and that each stays one harmless line on standard error. */
import type { LogRecord } from "@logtape/logtape";
import { createFormatter } from "../../../lib/process/logging.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

/** A record as LogTape makes it: text and values in turn. */
function record(message: unknown[], properties: Record<string, unknown> = {}): LogRecord {
  return {
    category: ["vpn", "server"],
    level: "warning",
    message,
    rawMessage: "",
    timestamp: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    properties,
  };
}

Deno.test("createFormatter() gives time, level, category and message when the format is text", () => {
  const format = createFormatter({ format: "text", terminal: false, colour: false });
  assertEquals(
    format(record(["Listening on ", "0.0.0.0", " port ", 51820, ""])),
    "2026-01-02T03:04:05.678Z warning vpn.server: Listening on 0.0.0.0 port 51820\n",
  );
});

Deno.test("createFormatter() gives the time of day alone when it is for a terminal", () => {
  const format = createFormatter({ format: "text", terminal: true, colour: false });
  assertMatch(format(record(["Up"])), /^\d\d:\d\d:05\.678 warning vpn\.server: Up\n$/);
});

Deno.test("createFormatter() colours the level when colour is asked for", () => {
  const format = createFormatter({ format: "text", terminal: true, colour: true });
  // deno-lint-ignore no-control-regex
  assertMatch(format(record(["Up"])), /\x1b\[33mwarning\x1b\[0m .*: Up\n$/);
});

Deno.test("createFormatter() keeps a record on one harmless line when a value is hostile", () => {
  for (const colour of [false, true]) {
    const format = createFormatter({ format: "text", terminal: false, colour });
    const line = format(record(["Peer ", "a\nb\r\x1b[2J\x07\x9b1m", ""]));
    assertEquals(line.slice(line.indexOf("Peer")), "Peer a\\nb\\r\\x1b[2J\\x07\\x9b1m\n");
  }
});

Deno.test("createFormatter() gives one object a line when the format is json", () => {
  const format = createFormatter({ format: "json", terminal: true, colour: true });
  const line = format(record(["Peer ", "a\nb", " lost"], { peer: "a\nb", bytes: 5n }));
  assertEquals(line.indexOf("\n"), line.length - 1);
  assertEquals(JSON.parse(line), {
    "@timestamp": "2026-01-02T03:04:05.678Z",
    level: "WARN",
    message: "Peer a\nb lost",
    logger: "vpn.server",
    properties: { peer: "a\nb", bytes: "5" },
  });
});

Deno.test("createFormatter() shows an error's message in the line and its stack in the object", () => {
  const error = new Error("boom");
  const text = createFormatter({ format: "text", terminal: false, colour: false });
  assertMatch(text(record(["Cannot: ", error, ""])), /: Cannot: boom\n$/);
  const json = createFormatter({ format: "json", terminal: false, colour: false });
  const parsed = JSON.parse(json(record(["Cannot: ", error, ""], { error })));
  assertEquals(parsed.message, "Cannot: boom");
  assertMatch(parsed.properties.error.stack, /boom\n/);
});

hostTest(
  "configureLogging() sends the asked-for levels to standard error and nothing elsewhere",
  async () => {
    const module = new URL("../../../lib/process/logging.ts", import.meta.url);
    const program = `
    import { configureLogging, getLogger } from ${JSON.stringify(module.href)};
    const logger = getLogger("server");
    logger.error("before it is set up");
    configureLogging({ level: "warning", format: "text" });
    logger.info("too slight");
    logger.warn("kept {n}", { n: 1 });
    configureLogging({ level: "info", format: "json" });
    logger.info("kept {n}", { n: 2 });
  `;
    const { stdout, stderr, code } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--quiet", program],
      env: { NO_COLOR: "1" },
    }).output();
    const lines = new TextDecoder().decode(stderr).split("\n");
    assertEquals(code, 0, lines.join("\n"));
    assertEquals(stdout.length, 0);
    assertEquals(lines.length, 3, lines.join("\n"));
    assertMatch(lines[0]!, /^\S+Z warning vpn\.server: kept 1$/);
    assertEquals(JSON.parse(lines[1]!).message, "kept 2");
  },
);

hostTest(
  "LogControl.change() sets the level of one category, or of all, from then on",
  async () => {
    const module = new URL("../../../lib/process/logging.ts", import.meta.url);
    const program = `
    import { configureLogging, getLogger } from ${JSON.stringify(module.href)};
    const [control, dns] = [getLogger("control"), getLogger("dns")];
    const log = configureLogging({ level: "info", format: "text" });
    const speak = (when) => [control, dns].forEach((logger) => logger.debug(when));
    speak("first");
    log.change([{ category: "dns", level: "debug" }]);
    speak("second");
    log.change([{ category: "all", level: "debug" }, { category: "dns", level: "warning" }]);
    speak("third");
    log.change([{ category: "all", level: "error" }]);
    speak("fourth");
  `;
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--quiet", program],
      env: { NO_COLOR: "1" },
    }).output();
    const lines = new TextDecoder().decode(stderr).trimEnd().split("\n");
    assertEquals(lines.map((line) => line.replace(/^\S+ /, "")), [
      "debug vpn.dns: second",
      "debug vpn.control: third",
    ]);
  },
);
