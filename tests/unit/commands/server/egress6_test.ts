/** Tests of what a gateway answers for on its uplink when that cannot be noted: it is told once, and tried again. */
import { Egress6 } from "../../../../lib/commands/server/egress6.ts";
import { AppError, ExitCode } from "../../../../lib/process/errors.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const ADDRESS = "2001:db8::5";

Deno.test("addresses of peers are answered for as soon as the journal has room, and a failure is told once", async () => {
  using timers = new FakeTimers();
  const state = { isFull: true, lines: [] as string[] };
  const answered: string[][] = [];
  const link = { link: 2, name: "eth0", address: "2001:db8::1" };
  const options = {
    config: { interface: { egress: "raw", egress6: "routed", addresses6: ["fd00::1/64"] } },
    choice: { findExternal6: () => link },
    forwarding: { cannot6: null },
    netlink: {
      neighbours: { use() {}, find: () => ({ hardwareAddress: null }) },
      routes: { list: () => [] },
    },
    journal: {
      replace: (_: unknown, make: () => boolean) => make() || answered.push([]),
      makeSysctl() {},
      make: ({ addresses }: { addresses: string[] }) => {
        if (state.isFull) throw new AppError("no room", { exitCode: ExitCode.unexpected });
        answered.push(addresses);
      },
    },
    logger: { error: (line: string) => void state.lines.push(line) },
  };
  // deno-lint-ignore no-explicit-any -- what it does not ask for here
  using egress = new Egress6(options as any);
  const peers = [{ allowedIps6: [`${ADDRESS}/128` as const] }];
  egress.setPeers(peers);
  await timers.advance(60_000);
  assertEquals(answered.flat(), []);
  // Who changes the peers meanwhile is not hindered.
  egress.setPeers(peers);
  assertEquals(state.lines.length, 1);
  state.isFull = false;
  await timers.advance(10_000);
  assertEquals(answered.at(-1), [ADDRESS]);
  const calls = answered.length;
  await timers.advance(60_000);
  assertEquals(answered.length, calls);
  state.isFull = true;
  egress.setPeers([...peers, { allowedIps6: ["2001:db8::6/128"] }]);
  await timers.advance(5_000);
  assertEquals(state.lines.length, 2);
});
