/** Shows `vpn demo --fleet` from outside: what it prints, and that it leaves nothing; and what it says without NATS. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { assertPassed, traces } from "../support/demo_traces.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { vpnCommand } from "../support/programs/vpn.ts";

netTest("demo of a fleet passes every step and leaves nothing", async (net) => {
  const home = net.namespace("home");
  const before = await hostState(home);
  const demo = home.spawn(vpnCommand("demo", "--fleet"));
  const { code } = await demo.status;
  assertPassed(demo, code);
  for (
    const line of [
      /✓ NATS on three hosts +3 nodes of version \S+ +[\d.]+ m?s\n/,
      /✓ holder killed \(kill -9\) +gateway-[123] goes on, ping gap +[\d.]+ m?s\n/,
      /✓ holder drained +gateway-[123] goes on, ping gap +[\d.]+ m?s\n/,
      /✓ download ends +[\d.]+ MB, SHA-256 is the same +[\d.]+ m?s\n/,
      /✓ clean end +exit code 0, nothing is left +[\d.]+ m?s\n/,
    ]
  ) assertMatch(demo.stdout, line);
  assertEquals(traces(demo.pid), []);
  assertEquals(await hostState(home), before);
}, { programs: ["nats-server", ...HOST_STATE_PROGRAMS] });

netTest("demo of a fleet exits with 2 and one line when there is no NATS", async (net) => {
  const home = net.namespace("home");
  const command = vpnCommand("demo", "--fleet", "--nats-server", "/nowhere/nats-server");
  const { code, stdout, stderr } = await home.run(command);
  assertEquals([code, stdout], [2, ""]);
  assertEquals(
    stderr,
    "vpn: Cannot show a fleet: there is no program /nowhere/nats-server: " +
      "install the package nats-server, or give its path with --nats-server PATH\n",
  );
});
