/** What `vpn demo` leaves, and whether it has passed: for the tests of it. */
import { tmpdir } from "node:os";
import { listNamespaces } from "../../../ffi/netns.ts";
import { assertEquals } from "../../support/assert.ts";
import type { BackgroundProcess } from "../../support/net.ts";

/** Its last line. */
export const COUNT = /\n(\d+) passed, (\d+) failed\n$/;

/** Everything that carries the process id of a demo: namespaces, folders, processes. */
export function traces(pid: number): string[] {
  const prefix = `vpn-demo-${pid}-`;
  return [
    ...journals(processes(prefix).map(({ pid }) => pid)),
    ...listNamespaces().filter((name) => name.startsWith(prefix)),
    ...[...Deno.readDirSync(tmpdir())].map(({ name }) => name)
      .filter((name) => name.startsWith(prefix)),
    ...processes(prefix).map(({ commandLine }) => commandLine),
  ];
}

/** The notes that processes have taken of changes to the host. */
export function journals(pids: readonly number[]): string[] {
  try {
    return [...Deno.readDirSync("/run/vpn")].map(({ name }) => name)
      .filter((name) => pids.some((pid) => name.startsWith(`${pid}-`)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** The processes whose command line has this part. */
export function processes(part: string): { readonly pid: number; readonly commandLine: string }[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const commandLine = Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ");
      return commandLine.includes(part) ? [{ pid: Number(name), commandLine }] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

/** Whether all its steps have passed, and nothing else was written. */
export function assertPassed({ stdout, stderr }: BackgroundProcess, code: number): void {
  assertEquals([code, stderr], [0, ""], stdout);
  const [, passed, failed] = COUNT.exec(stdout) ?? [];
  assertEquals(failed, "0", stdout);
  const marks = stdout.split("\n").filter((line) => line.startsWith("  ✓ "));
  assertEquals(Number(passed), marks.length);
  assertEquals(stdout.includes("\x1b"), false, "escape sequences in a pipe");
}
