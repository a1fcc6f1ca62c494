/** Tests of the control method "drain-service". */
import { RequestError } from "../../../lib/control/protocol.ts";
import { drainService } from "../../../lib/control/services.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

function stage(refusal: Error | null = null) {
  const asked: unknown[] = [];
  const published = {
    status: () => [],
    drain: (...given: unknown[]) => {
      asked.push(given);
      if (refusal !== null) throw refusal;
      return ["tcp:443"];
    },
  };
  return { asked, published };
}

Deno.test("a back end is drained and undrained, in one service or all", () => {
  const { asked, published } = stage();
  assertEquals(drainService({ backEnd: "web-1", drained: true }, published), {
    services: ["tcp:443"],
  });
  drainService({ backEnd: "web-1:80", service: "tcp:443", drained: false }, published);
  assertEquals(asked, [["web-1", null, true], ["web-1:80", "tcp:443", false]]);
});

Deno.test("what cannot be drained is refused in words", () => {
  const { published } = stage(new RangeError("Cannot drain web-9: it is none"));
  const cases: [Record<string, unknown>, Parameters<typeof drainService>[1], string][] = [
    [{ backEnd: "web-9", drained: true }, published, "Cannot drain web-9: it is none"],
    [{ backEnd: 5, drained: true }, published, "give its name, and whether it is to be drained"],
    [{ backEnd: "web-9" }, published, "give its name, and whether it is to be drained"],
    [{ backEnd: "web-9", drained: true, service: 4 }, published, "give its name"],
    [{ backEnd: "web-9", drained: true }, null, "a client publishes no services"],
  ];
  for (const [params, from, problem] of cases) {
    assertThrows(() => drainService(params, from), RequestError, problem);
  }
});
