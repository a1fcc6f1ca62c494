/** Which file a name on the command line stands for. */
import { configPathOf } from "../../../../lib/host/files/config_place.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("configPathOf() takes an interface's name for its file in /etc/vpn, and all else for a file", () => {
  assertEquals(configPathOf("vpn0"), "/etc/vpn/vpn0.conf");
  assertEquals(configPathOf("my.net"), "/etc/vpn/my.net.conf");
  for (const path of ["server.conf", "./vpn0", "/etc/vpn/vpn0.conf", "a name", "/dev/stdin"]) {
    assertEquals(configPathOf(path), path);
  }
});
