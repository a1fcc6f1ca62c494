/** Shows which names an interface may have. */
import { isInterfaceName } from "../../lib/config/interface_name.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("isInterfaceName() accepts what the kernel does", () => {
  for (const name of ["vpn0", "a", "wg-home.5", "x".repeat(15), "_", "é0"]) {
    assertEquals(isInterfaceName(name), true, name);
  }
});

Deno.test("isInterfaceName() refuses what the kernel refuses or a TUN would expand", () => {
  const bad = [
    "",
    "x".repeat(16),
    "é".repeat(8),
    "a/b",
    "a b",
    "a\tb",
    "a:1",
    ".",
    "..",
    "tun%d",
    "a\0",
  ];
  for (const name of bad) assertEquals(isInterfaceName(name), false, JSON.stringify(name));
});
