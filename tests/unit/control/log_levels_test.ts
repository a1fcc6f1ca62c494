/** Tests of what the control method "log" changes and shows. */
import { changeLevels } from "../../../lib/control/log_levels.ts";
import { RequestError } from "../../../lib/control/protocol.ts";
import { LogControl, type LogLevels } from "../../../lib/process/logging.ts";
import { LOG_CATEGORIES } from "../../../lib/cli/command.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

/** A tunnel that logs nothing below a warning, and what its data plane was told. */
function subject(role: "server" | "client") {
  const levels = Object.fromEntries(LOG_CATEGORIES.map((each) => [each, "warning"])) as LogLevels;
  const traces: boolean[] = [];
  const dataPlane = { setTrace: (trace: boolean) => void traces.push(trace) };
  return { traces, tunnel: { role, log: new LogControl(levels, "text"), dataPlane } };
}

Deno.test("changeLevels() shows the categories of a role when nothing is to be changed", () => {
  const { tunnel, traces } = subject("client");
  assertEquals(changeLevels({}, tunnel), {
    client: "warning",
    dataplane: "warning",
    control: "warning",
    dns: "warning",
    hooks: "warning",
    journal: "warning",
    cleanup: "warning",
    upkeep: "warning",
  });
  assertEquals(traces, []);
});

Deno.test("changeLevels() changes in order, and has the data plane trace only where that is asked for", () => {
  const { tunnel, traces } = subject("server");
  const first = changeLevels({ all: "error", dataplane: "trace" }, tunnel);
  assertEquals([first.server, first.dataplane], ["error", "trace"]);
  const second = changeLevels({ dataplane: "error", dns: "error" }, tunnel);
  assertEquals([second.server, second.dataplane], ["error", "error"]);
  const third = changeLevels({ dataplane: "trace", all: "debug" }, tunnel);
  assertEquals([third.server, third.dataplane], ["debug", "debug"]);
  assertEquals(traces, [true, false, false]);
  // For what is tested after this.
  changeLevels({ all: "error" }, tunnel);
});

Deno.test("changeLevels() changes nothing when anything is wrong", () => {
  const { tunnel, traces } = subject("server");
  const cases: [params: Record<string, unknown>, message: string][] = [
    [{ dns: "trace", client: "debug" }, 'Cannot log "client" here: the categories are server, '],
    [{ dns: "trace", nat: "debug" }, 'Cannot log "nat" here'],
    [{ dns: "trace", control: "loud" }, "the levels are trace, debug, info, warning, error"],
    [{ dns: "trace", control: 7 }, "Cannot log control at that level"],
  ];
  for (const [params, message] of cases) {
    assertThrows(() => changeLevels(params, tunnel), RequestError, message);
  }
  assertEquals([changeLevels({}, tunnel).dns, traces], ["warning", []]);
});
