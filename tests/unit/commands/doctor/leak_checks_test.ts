/** Tests of `lib/commands/doctor/leak_checks.ts`: a kill switch is judged by what it stops, and not by its name. */
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { firewall, type Name } from "../../../support/doctor/recorded.ts";
import type { Journey } from "../../../../lib/commands/doctor/firewall/firewall.ts";
import type { SupposedPacket } from "../../../../lib/commands/doctor/firewall/packet.ts";
import { judgeKillSwitch } from "../../../../lib/commands/doctor/leak_checks.ts";

const TABLE = { family: "inet", name: "vpn_vpn0_killswitch" } as const;

Deno.test("a kill switch that was emptied, or has a hole, is no kill switch", () => {
  assertEquals(judgeKillSwitch(firewall("the kill switch"), TABLE).status, "ok");
  const spoilt: readonly Name[] = [
    "the return path",
    "the kill switch, its rules gone",
    "the kill switch with a hole",
  ];
  for (const name of spoilt) {
    const { status, why } = judgeKillSwitch(firewall(name), TABLE);
    assertEquals(status, "fail", name);
    assertMatch(why, /the kill switch \(table inet vpn_vpn0_killswitch\) is gone, or was changed/);
  }
});

Deno.test("a kill switch that lets one family out is not active", () => {
  for (const stopped of ["ip", "ip6"]) {
    const firewall = {
      isStoppedBy: (_: string, __: Journey, { family }: SupposedPacket) => family === stopped,
    };
    assertEquals(judgeKillSwitch(firewall, { family: "inet", name: "vpn_x" }).status, "fail");
  }
});
