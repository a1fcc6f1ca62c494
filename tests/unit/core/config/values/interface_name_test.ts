/** Shows which names an interface may have. */
import { isInterfaceName } from "../../../../../lib/core/config/values/interface_name.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("isInterfaceName() accepts what wg-quick does", () => {
  for (const name of ["vpn0", "a", "wg-home.5", "x".repeat(15), "_", "a=b+c", "-", "..."]) {
    assertEquals(isInterfaceName(name), true, name);
  }
});

Deno.test("isInterfaceName() refuses what a path, a firewall's table or a shell would read otherwise", () => {
  const bad = [
    "",
    "x".repeat(16),
    "é0",
    "a/b",
    "a b",
    "a\tb",
    "a\n",
    "a:1",
    ".",
    "..",
    "tun%d",
    "a\0",
  ];
  const shell = [
    "$(id)",
    "$&",
    "`id`",
    "a;id",
    "a|id",
    "a&b",
    "a'b",
    'a"b',
    "a>b",
    "a*",
    "a\\b",
    "~",
    "#a",
  ];
  for (const name of [...bad, ...shell]) {
    assertEquals(isInterfaceName(name), false, JSON.stringify(name));
  }
});
