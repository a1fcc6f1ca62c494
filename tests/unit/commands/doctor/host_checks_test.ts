/** Tests of `lib/commands/doctor/host_checks.ts`: what a user who is not root sees of an interface is no fault. */
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import {
  checkInterface,
  suitsBoringssl,
  suitsIpsecMb,
} from "../../../../lib/commands/doctor/host_checks.ts";
import type { Subject } from "../../../../lib/commands/doctor/subject.ts";

function look(uid: number, instance: Subject["instance"] = null) {
  const netlink = { links: { find: () => ({ kind: "tun" }) } };
  const options = { interfaceName: "vpn0" };
  const [verdict] = checkInterface({ instance, netlink, options } as unknown as Subject, uid);
  return verdict!;
}

Deno.test("a user who is not root is not told to delete an interface that root's tunnel may have", () => {
  const { status, why, remedy } = look(1000);
  assertEquals(status, "warn");
  assertMatch(why, /^the interface vpn0 is there: whose it is, this user does not see$/);
  assertEquals(remedy!.includes("ip link delete"), false);
});

Deno.test("root, who sees all processes, is told that another interface has the name", () => {
  const { status, remedy } = look(0);
  assertEquals(status, "fail");
  assertMatch(remedy!, /`ip link delete vpn0`$/);
});

Deno.test("an interface of another user's process that is seen is named, whatever user asks", () => {
  const other = { pid: 812, title: '"openvpn" (process 812)', isOurs: false };
  assertMatch(look(1000, other).why, /^the name vpn0 is taken: "openvpn" \(process 812\) uses it$/);
});

Deno.test("IPsec-MB is worth installing where the processor has all that its AVX-512 takes", () => {
  const flags = ["fpu", "sha_ni", "avx512f", "avx512ifma", "gfni", "vaes", "vpclmulqdq", "rdpid"];
  const isWorth = (names: readonly string[]) =>
    suitsIpsecMb(`processor\t: 0\nmodel\t\t: 106\nflags\t\t: ${names.join(" ")}\nbugs\t\t:\n`);
  assertEquals(isWorth(flags), true);
  // As in a virtual machine that hides one.
  for (const flag of flags.slice(1, -1)) {
    assertEquals(isWorth(flags.filter((each) => each !== flag)), false, flag);
  }
  assertEquals(suitsIpsecMb(""), false);
  assertEquals(suitsIpsecMb("processor\t: 0\nFeatures\t: fp asimd sha512\n"), false);
});

Deno.test("BoringSSL is worth installing where the processor has AVX2", () => {
  assertEquals(suitsBoringssl("processor\t: 0\nflags\t\t: fpu avx avx2 bmi2\n"), true);
  assertEquals(suitsBoringssl("processor\t: 0\nflags\t\t: fpu avx\n"), false);
  assertEquals(suitsBoringssl(""), false);
});
