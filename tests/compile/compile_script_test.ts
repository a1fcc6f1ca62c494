/**
 * Tests what ./compile.sh says when it cannot do what is asked. Building is a step of its own in tests/run/steps.ts.
 */
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { run, type RunResult } from "../support/process.ts";
import { hostTest } from "../support/permissions.ts";

const SCRIPT = new URL("../../compile.sh", import.meta.url).pathname;

/** `add_cipher` for a target that it may be of use for, where the system has neither library. */
const SCRIPT_WITHOUT_LIBRARIES = `
  source ${new URL("../../lib/packaging/cipher.sh", import.meta.url).pathname}
  ldconfig() { return 127; }
  boringssl_path() { echo /nonexistent; }
  say() { echo "$*"; }
  bundled=/nonexistent target=x86_64-unknown-linux-gnu
  host_target=$target
  add_cipher
`;

function compile(...args: readonly string[]): Promise<RunResult> {
  return run(null, [SCRIPT, ...args], { env: { DENO: Deno.execPath() } });
}

hostTest("compile.sh refuses what it does not know, in one line, with exit code 1", async () => {
  for (
    const [args, line] of [
      [["--target", "sparc-sun-solaris"], 'cannot build for "sparc-sun-solaris": --target is'],
      [["--target"], "--target needs a value"],
      [["--output", ""], "--output needs a value"],
      [["--quick"], 'unknown argument "--quick"'],
    ] as const
  ) {
    const { code, stdout, stderr } = await compile(...args);
    assertEquals({ code, stdout }, { code: 1, stdout: "" });
    assertStringIncludes(stderr.trimEnd().split("\n").at(-1)!, `compile.sh: ${line}`);
  }
});

hostTest("compile.sh says so when there is no such deno", async () => {
  const { code, stderr } = await run(null, [SCRIPT], { env: { DENO: "/no/such/deno" } });
  assertEquals({ code, stderr }, {
    code: 1,
    stderr: "compile.sh: cannot run DENO=/no/such/deno\n",
  });
});

hostTest("compile.sh --help names its options", async () => {
  const { code, stdout } = await compile("--help");
  assertEquals(code, 0);
  for (const option of ["--target", "--output", "--pack", "--oci"]) {
    assertStringIncludes(stdout, option);
  }
});

hostTest(
  "compile.sh builds without the libraries that the system has not, and says so",
  async () => {
    const { code, stdout, stderr } = await run(null, [
      "bash",
      "-euo",
      "pipefail",
      "-c",
      SCRIPT_WITHOUT_LIBRARIES,
    ]);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    assertStringIncludes(stdout, "without IPsec-MB");
    assertStringIncludes(stdout, "without BoringSSL");
  },
);
