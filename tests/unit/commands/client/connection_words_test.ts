/** Tests of what the log and the service manager are told of a client's connection. */
import { tell } from "../../../../lib/commands/client/connection_words.ts";
import type { ClientMessage, ServerRoute } from "../../../../lib/core/client/client_action.ts";
import type { Logger } from "../../../../lib/process/logging.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { assertEquals } from "../../../support/assert.ts";

const HERE: ServerRoute = { address: 0xc000_0201, port: 51_820, transport: Transport.udp };
const THERE: ServerRoute = { address: 0xc000_0202, port: 51_820, transport: Transport.fakeTcp };

/** The lines of the log, each with its level, and the states. */
function told(message: ClientMessage): { lines: string[]; states: string[] } {
  const lines: string[] = [];
  const states: string[] = [];
  const at = (level: string) => (text: string, values: Record<string, unknown> = {}) =>
    lines.push(`${level}: ${text.replace(/\{(\w+)\}/g, (_, name) => `${values[name]}`)}`);
  const logger = { info: at("info"), warn: at("warn") } as unknown as Logger;
  tell(message, { logger, onState: (state) => states.push(state) });
  return { lines, states };
}

Deno.test("a route is told by its transport, and by its address where the server has several", () => {
  const message = { about: "no-answer", last: HERE, next: THERE } as const;
  assertEquals(told({ ...message, hasSeveral: false }).lines, [
    "info: no answer over UDP: trying fake TCP",
  ]);
  assertEquals(told({ ...message, hasSeveral: true }).lines, [
    "info: no answer over UDP to 192.0.2.1: trying fake TCP to 192.0.2.2",
  ]);
  assertEquals(told({ ...message, next: { ...THERE, port: 443 }, hasSeveral: true }).lines, [
    "info: no answer over UDP to 192.0.2.1:51820: trying fake TCP to 192.0.2.2:443",
  ]);
});

Deno.test("a loss and its end are told to the log and to the service manager", () => {
  assertEquals(told({ about: "lost", place: HERE }), {
    lines: ["warn: no packets from 192.0.2.1:51820: reconnecting"],
    states: ["no packets from 192.0.2.1:51820: reconnecting"],
  });
  assertEquals(told({ about: "connected-again", route: THERE, after: 1_540 }), {
    lines: ["info: reconnected to 192.0.2.2:51820 by fake TCP after 1.5 s"],
    states: ["connected to 192.0.2.2:51820 by fake TCP"],
  });
});

Deno.test("a reload to another server is told to the service manager", () => {
  assertEquals(told({ about: "moved", route: HERE }), {
    lines: [],
    states: ["connected to 192.0.2.1:51820 by UDP"],
  });
});

Deno.test("an attempt that could not be made is a warning with the error", () => {
  const error = new Error("no resolver");
  assertEquals(told({ about: "attempt-failed", error }).lines, [
    "warn: cannot connect now: Error: no resolver",
  ]);
});
