/** Tests of the checks of a fleet: what each state of it means. */
import {
  FLEET_CHECKS,
  judgeClaims,
  judgePath,
} from "../../../../../lib/commands/doctor/fleet/fleet_checks.ts";
import type { Subject } from "../../../../../lib/commands/doctor/subject.ts";
import { assertEquals } from "../../../../support/assert.ts";
Deno.test("of a virtual address, doctor says whether a gateway has it, and which others do not answer", async () => {
  const gateway = (number: number, isUp: boolean) => ({
    number,
    name: `gw-${number}`,
    endpoint: `192.0.2.${number}:51821`,
    isSelf: number === 1,
    isUp,
    isDraining: false,
    clockOffset: isUp ? 0 : null,
  });
  const look = async (holder: number | null, isUp: boolean) => {
    const virtualAddress = {
      address: "203.0.113.5",
      holder,
      isHere: holder === 1,
      isDraining: false,
      gateways: [gateway(1, true), gateway(2, isUp)],
    };
    const status = { store: { virtualAddress } };
    const running = () => Promise.resolve({ kind: "known", status });
    const check = FLEET_CHECKS.find(({ name }) => name === "running-virtual-address")!;
    const [verdict] = await check.look({ running } as unknown as Subject);
    return [verdict!.status, verdict!.why];
  };
  assertEquals(await look(1, true), [
    "ok",
    "gateway 1 has the virtual address 203.0.113.5, and all 2 are there",
  ]);
  assertEquals(await look(1, false), [
    "warn",
    "no answer comes from gw-2 (192.0.2.2:51821): fewer gateways can take the virtual address",
  ]);
  assertEquals((await look(null, false))[0], "fail");
});

Deno.test("of a fleet, doctor says whose clock differs from this gateway's, and by how much", async () => {
  const look = async (clockOffset: number | null) => {
    const other = { number: 2, name: "gw-2", isSelf: false, clockOffset };
    const self = { number: 1, name: "gw-1", isSelf: true, clockOffset: 0 };
    const status = { store: { virtualAddress: { gateways: [self, other] } } };
    const running = () => Promise.resolve({ kind: "known", status });
    const check = FLEET_CHECKS.find(({ name }) => name === "running-fleet-clocks")!;
    return (await check.look({ running } as unknown as Subject))
      .map(({ status, why }) => [status, why]);
  };
  const right = [["ok", "the clocks of the other gateways are within 0.1 s of this one's"]];
  assertEquals(await look(0.012), right);
  assertEquals(await look(-0.1), right);
  assertEquals(await look(-0.25), [["warn", "clocks of the fleet differ: gw-2 is 0.3 s behind"]]);
  assertEquals(await look(3_600), [["warn", "clocks of the fleet differ: gw-2 is 3600 s ahead"]]);
  assertEquals(await look(null), []);
});

Deno.test("of a virtual address, two hosts that answer for it are a failure, and nobody is a warning", () => {
  const judge = (isHere: boolean, ...claims: string[]) =>
    judgeClaims({ address: "203.0.113.5", holder: isHere ? 1 : 2, isHere }, "eth0", claims).status;
  assertEquals([judge(true), judge(true, "02:00:00:00:00:07")], ["ok", "fail"]);
  assertEquals([judge(false), judge(false, "02:00:00:00:00:07")], ["warn", "ok"]);
  assertEquals(judge(false, "02:00:00:00:00:07", "02:00:00:00:00:08"), "fail");
  const free = { address: "203.0.113.5", holder: null, isHere: false };
  assertEquals(judgeClaims(free, "eth0", []).status, "ok");
});

Deno.test("of a path to another gateway, packets that arrive cut down to a length are a warning", () => {
  const gateway = { name: "gw-2", endpoint: "192.0.2.2:51821" };
  const judge = (longest: number) => judgePath(gateway, 9_000, { longest, wasTold: false }).status;
  assertEquals([judge(9_000), judge(1_500), judge(0)], ["ok", "warn", "ok"]);
});
