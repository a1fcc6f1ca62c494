/** Tests of `ffi/netlink/families.ts`: a kernel without IPv6 (`ipv6.disable=1`), or without policy routing. */
import { EAFNOSUPPORT, EOPNOTSUPP, EPERM } from "../../../../ffi/errno.ts";
import { Addresses } from "../../../../ffi/netlink/addresses.ts";
import { AF_INET, AF_INET6 } from "../../../../ffi/socket_constants.ts";
import { Routes } from "../../../../ffi/netlink/routes.ts";
import { Rules } from "../../../../ffi/netlink/rules.ts";
import { NetlinkError, type RequestChannel } from "../../../../ffi/netlink/socket.ts";
import { assertEquals, assertMatch, assertThrows } from "../../../support/assert.ts";

/** A kernel that refuses everything. */
function refusing(errno: number): RequestChannel {
  const refuse = (_: unknown, action: string) => {
    throw new NetlinkError(action, errno, "");
  };
  return { request: refuse, dump: refuse };
}

for (const [name, errno] of [["EAFNOSUPPORT", EAFNOSUPPORT], ["EOPNOTSUPP", EOPNOTSUPP]] as const) {
  Deno.test(`of a family that the kernel refuses with ${name} there are no rules, routes, addresses`, () => {
    const kernel = refusing(errno);
    assertEquals(new Rules(kernel).list(), []);
    assertEquals(new Rules(kernel).list({ family: AF_INET6 }), []);
    assertEquals(new Routes(kernel).list(), []);
    assertEquals(new Addresses(kernel).list({ family: AF_INET6 }), []);
  });

  Deno.test(`a rule that the kernel refuses with ${name} is an error that names what is missing`, () => {
    const add = (family: typeof AF_INET | typeof AF_INET6) =>
      assertThrows(() => new Rules(refusing(errno)).add({ family, table: 7 }), NetlinkError);
    assertMatch(
      add(AF_INET).message,
      /: the kernel lacks policy routing \(CONFIG_IP_MULTIPLE_TABLES\)$/,
    );
    assertMatch(add(AF_INET6).message, /\(CONFIG_IPV6_MULTIPLE_TABLES\)$/);
  });
}

Deno.test("a list that the kernel refuses for another reason is an error", () => {
  assertThrows(() => new Rules(refusing(EPERM)).list(), NetlinkError, "EPERM");
  assertThrows(() => new Routes(refusing(EPERM)).list(), NetlinkError, "EPERM");
});
