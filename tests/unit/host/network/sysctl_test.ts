/** Tests of `lib/host/network/sysctl.ts`: what a sysctl that cannot be set is called, and what to do about it. */
import { SysctlError, sysctlName } from "../../../../lib/host/network/sysctl.ts";
import { assertEquals } from "../../../support/assert.ts";

const PATH = "/proc/sys/net/ipv4/conf/all/src_valid_mark";

Deno.test("sysctlName() is what sysctl(8), Docker and Podman call a file under /proc/sys", () => {
  assertEquals(sysctlName(PATH), "net.ipv4.conf.all.src_valid_mark");
});

Deno.test("a sysctl that cannot be set names the line for a container, with exit code 5", () => {
  const readOnly = Object.assign(new Error("Read-only file system"), { code: "EROFS" });
  const error = new SysctlError(PATH, "1", readOnly);
  assertEquals(error.exitCode, 5);
  assertEquals(
    error.message,
    "Cannot change this host's network: net.ipv4.conf.all.src_valid_mark is not 1, and /proc/sys is read-only: " +
      "add `net.ipv4.conf.all.src_valid_mark=1` to `sysctls:` in the compose file, or start the container with " +
      "`--sysctl net.ipv4.conf.all.src_valid_mark=1`; on a host, set it as root",
  );
});
