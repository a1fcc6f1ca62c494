/** Shows the program from outside: arguments and standard streams in, exit code and lines out. */
import { decodeKey } from "../../lib/core/config/values/key_text.ts";
import { VERSION } from "../../lib/process/version.ts";
import { assert, assertEquals, assertMatch, assertNotEquals } from "../support/assert.ts";
import { emptyFile } from "../support/folder.ts";
import { hostTest } from "../support/permissions.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program with these arguments and standard input, outside its own folder. */
async function vpn(args: readonly string[], input = ""): Promise<Outcome> {
  return await run(Deno.execPath(), ["run", "--quiet", "--allow-all", MAIN, ...args], input);
}

async function run(program: string, args: readonly string[], input = ""): Promise<Outcome> {
  const child = new Deno.Command(program, {
    args: [...args],
    cwd: "/",
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // A program that reads nothing closes the pipe first, which is not what is tested.
  await writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Fails unless the program said this one line on standard error, nothing else, and exited with `code`. */
function assertRefused(outcome: Outcome, code: number, line: string): void {
  assertEquals(outcome, { code, stdout: "", stderr: `${line}\n` });
}

hostTest("main exits with 2 and one line when the arguments are wrong", async () => {
  assertRefused(await vpn([]), 2, 'vpn: no command given: see "vpn --help"');
  assertRefused(
    await vpn(["sevrer"]),
    2,
    'vpn: unknown command "sevrer": did you mean "server"?',
  );
  assertRefused(
    await vpn(["client", "--config", "x", "--nope"]),
    2,
    'vpn: "vpn client" has no option "--nope": see "vpn client --help"',
  );
});

hostTest("main exits with 2 and one line when the configuration cannot be used", async () => {
  assertRefused(
    await vpn(["server", "--config", "/nowhere/x.conf"]),
    2,
    'vpn: Cannot read configuration "/nowhere/x.conf": no such file: give one with --config FILE',
  );
  const file = emptyFile();
  await Deno.writeTextFile(file, "[Interface]\nListenPort = 70000\n");
  const line = `vpn: ${file}:2: ListenPort: cannot use "70000": a port is 1 to 65535`;
  assertRefused(await vpn(["server", "--config", file]), 2, line);
  const outcome = await vpn(["client", "--config", file, "--log-level", "debug"]);
  assertEquals([outcome.code, outcome.stdout], [2, ""]);
  // At this level the stack follows the line.
  assert(outcome.stderr.startsWith(`${line}\nConfigError: `), outcome.stderr);
  assertMatch(outcome.stderr, /\n {4}at /);
});

hostTest("main prints help and version and exits with 0 when asked", async () => {
  const help = await vpn(["--help"]);
  assertEquals([help.code, help.stderr], [0, ""]);
  assertMatch(help.stdout, /^Usage: vpn COMMAND/m);
  const version = await vpn(["--version"]);
  assertEquals([version.code, version.stderr], [0, ""]);
  assertMatch(version.stdout, new RegExp(`^vpn ${VERSION}( \\([0-9a-f]{12}\\))?\n$`));
});

hostTest("main is quiet when nobody reads its output", async () => {
  const program =
    `"$0" run --quiet --allow-all "$1" completion bash | true; exit "\${PIPESTATUS[0]}"`;
  const outcome = await run("bash", ["-c", program, Deno.execPath(), MAIN]);
  assertEquals(outcome, { code: 0, stdout: "", stderr: "" });
});

hostTest(
  "main makes keys whose public keys it knows when asked for genkey and pubkey",
  async () => {
    const [first, second] = await Promise.all([vpn(["genkey"]), vpn(["genkey"])]);
    assertEquals([first.code, first.stderr], [0, ""]);
    assertNotEquals(first.stdout, second.stdout);
    const key = decodeKey(first.stdout.trimEnd());
    assert(key !== null && first.stdout.endsWith("\n"));
    // Clamped as RFC 7748 section 5 has it and `wg genkey` does.
    assertEquals([key[0]! & 7, key[31]! & 0xc0], [0, 0x40]);
    const publicKey = await vpn(["pubkey"], first.stdout);
    assertEquals([publicKey.code, publicKey.stderr], [0, ""]);
    assertEquals(decodeKey(publicKey.stdout.trimEnd())?.length, 32);
  },
);

hostTest("main makes preshared keys when asked for genpsk", async () => {
  const { code, stdout, stderr } = await vpn(["genpsk"]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(decodeKey(stdout.trimEnd())?.length, 32);
});

hostTest("main exits with 2 and hides the input when pubkey is given no key", async () => {
  const line = "vpn: Cannot read the private key: a key is 44 characters of base64, this one has";
  assertRefused(await vpn(["pubkey"], "secret\n"), 2, `${line} 6`);
  assertRefused(await vpn(["pubkey"], ""), 2, `${line} 0`);
  assertRefused(await vpn(["pubkey"], "x".repeat(100_000)), 2, `${line} 256`);
});

hostTest("main warns when a key goes to a file that others can read", async () => {
  const file = emptyFile();
  const program = `"$0" run --quiet --allow-all "$1" genkey > "$2"`;
  const args = ["-c", program, Deno.execPath(), MAIN, file];
  await Deno.chmod(file, 0o600);
  assertEquals((await run("sh", args)).stderr, "");
  await Deno.chmod(file, 0o644);
  const outcome = await run("sh", args);
  assertEquals(outcome.code, 0);
  assertMatch(outcome.stderr, /^vpn: warning: other users can read the file[^\n]*\n$/);
  assertEquals(decodeKey((await Deno.readTextFile(file)).trimEnd())?.length, 32);
});

hostTest(
  "main agrees with wg when either derives a public key from the other's private key",
  async () => {
    if (!(await run("sh", ["-c", "command -v wg"])).stdout) {
      // deno-lint-ignore no-console -- a test that is skipped says so
      console.log("skipped: wg is not installed");
      return;
    }
    const [ours, theirs] = await Promise.all([vpn(["genkey"]), run("wg", ["genkey"])]);
    for (const { stdout } of [ours, theirs]) {
      const [us, them] = await Promise.all([
        vpn(["pubkey"], stdout),
        run("wg", ["pubkey"], stdout),
      ]);
      assertEquals([them.code, us.stdout], [0, them.stdout]);
    }
  },
);
