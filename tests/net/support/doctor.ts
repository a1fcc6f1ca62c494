/** Doctor in network tests: asks `vpn doctor` and reads what it says. */
import { assert, assertEquals } from "../../support/assert.ts";
import type { TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { temporaryFile } from "./config.ts";
import { vpnCommand } from "./programs/vpn.ts";

/** As in `--json`. */
export interface Finding {
  readonly name: string;
  readonly status: "ok" | "warn" | "fail";
  readonly why: string;
  readonly remedy: string | null;
}

/** What it told, and how it ended. */
export class Report {
  readonly findings: readonly Finding[];
  readonly code: number;
  readonly role: string | null;

  constructor(stdout: string, code: number) {
    const { checks, role } = JSON.parse(stdout);
    this.findings = checks;
    this.role = role;
    this.code = code;
  }

  /** What a check found; the first of several. Fails where there is none. */
  finding(name: string): Finding {
    const found = this.findings.find((finding) => finding.name === name);
    assert(found !== undefined, `there is no ${name} among ${JSON.stringify(this.findings)}`);
    return found;
  }

  /** Fails unless a check found this, and the exit code tells of it; returns the remedy. */
  expect(name: string, { status, why }: { status: "warn" | "fail"; why: RegExp }): string {
    const finding = this.finding(name);
    assertEquals(finding.status, status, JSON.stringify(finding));
    assert(why.test(finding.why), `${finding.why} does not match ${why}`);
    assertEquals(this.code === 0, !this.findings.some((each) => each.status === "fail"));
    return finding.remedy ?? "";
  }

  /** Fails where anything fails. */
  expectHealth(): void {
    assertEquals(this.findings.filter(({ status }) => status === "fail"), []);
    assertEquals(this.code, 0);
  }
}

/** Asks about a configuration, or a file by its path. */
export async function examine(
  namespace: TestNamespace,
  config: string,
  ...args: readonly string[]
): Promise<Report> {
  using file = temporaryFile(config);
  return await examineFile(namespace, file.path, ...args);
}

/** Asks until this check finds a fault that comes and goes. */
export function examineUntilFound(
  check: string,
  namespace: TestNamespace,
  config: string,
): Promise<Report> {
  return eventually(async () => {
    const report = await examine(namespace, config);
    return report.finding(check).status === "ok" ? null : report;
  });
}

/** The same for a file that is there. */
export async function examineFile(
  namespace: TestNamespace,
  path: string,
  ...args: readonly string[]
): Promise<Report> {
  return await ask(namespace, vpnCommand("doctor", "--config", path, "--json", ...args));
}

/** The same by a command line that ends with `doctor ... --json`. */
export async function ask(namespace: TestNamespace, command: readonly string[]): Promise<Report> {
  const { code, stdout, stderr } = await namespace.run(command);
  assert(stdout.startsWith("{"), `no report: ${stderr}`);
  return new Report(stdout, code);
}

/** Carries out the commands of a remedy, in quotes there; of alternatives, the first: behind `or` stand others. */
export async function carryOutRemedy(namespace: TestNamespace, remedy: string): Promise<void> {
  const first = remedy.split(", or ")[0]!;
  const commands = Array.from(first.matchAll(/`([^`]+)`/g), ([, command]) => command!);
  assert(commands.length > 0, `no command in ${remedy}`);
  for (const command of commands) {
    const [program, ...args] = command.split(" ");
    await namespace.output(
      program === "vpn" ? vpnCommand(...args) : ["sh", "-ec", command],
    );
  }
}

/** A program that listens on a port for as long as the namespace is there. */
export async function listenOn(
  namespace: TestNamespace,
  protocol: "tcp" | "udp",
  port: number,
): Promise<{ readonly program: string; readonly process: number }> {
  const code = protocol === "udp"
    ? `import("node:dgram").then((m) => m.createSocket("udp4").bind(${port}, said))`
    : `import("node:net").then((m) => m.createServer().listen(${port}, "0.0.0.0", said))`;
  const process = namespace.spawn([
    ...[Deno.execPath(), "eval", "--quiet"],
    `const said = () => console.log("listening"); ${code};`,
  ]);
  await process.waitFor(/listening/);
  return { program: "deno", process: process.pid };
}
