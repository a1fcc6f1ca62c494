/** Report of `vpn doctor`: a table for people, JSON for programs. */
import type { CheckStatus, Finding } from "./check.ts";

/** What the JSON says besides the findings. */
export interface ReportHead {
  readonly config: string | null;
  readonly role: "server" | "client" | null;
}

/** SGR sequences (ECMA-48): green, yellow, red. */
const COLOURS: Readonly<Record<CheckStatus, string>> = { ok: "32", warn: "33", fail: "31" };
const STATUS_WIDTH = 6;

/** Whether anything does not work. */
export function hasFailed(findings: readonly Finding[]): boolean {
  return findings.some(({ status }) => status === "fail");
}

/**
 * One line for each finding, aligned, and one more with the remedy where there is something to fix; the counts at the
 * end.
 *
 * @param colour whether to use SGR sequences
 */
export function formatReport(findings: readonly Finding[], colour: boolean): string {
  const paint = (code: string, text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  const width = Math.max(0, ...findings.map(({ name }) => name.length)) + 2;
  const lines = findings.flatMap(({ name, status, why, remedy }) => {
    const label = paint(COLOURS[status], status) + " ".repeat(STATUS_WIDTH - status.length);
    const line = `${label}${name.padEnd(width)}${why}`;
    return remedy === null
      ? [line]
      : [line, `${" ".repeat(STATUS_WIDTH + width)}${paint("1", "fix:")} ${remedy}`];
  });
  const counts = (["ok", "warn", "fail"] as const)
    .map((status) => `${findings.filter((finding) => finding.status === status).length} ${status}`);
  return [...lines, counts.join(", "), ""].join("\n");
}

/**
 * The same for programs; the form is stable:
 *
 * ```json
 * { "config": "client.conf", "role": "client",
 *   "checks": [{ "name": "clock", "status": "ok", "why": "...", "remedy": null }] }
 * ```
 *
 * `config` and `role` are null where no configuration was given or it could not be read. `status` is `ok`, `warn` or
 * `fail`. A check may be there several times, or not at all where it does not apply.
 */
export function formatJson({ config, role }: ReportHead, findings: readonly Finding[]): string {
  const checks = findings.map(({ name, status, why, remedy }) => ({ name, status, why, remedy }));
  return `${JSON.stringify({ config, role, checks }, null, 2)}\n`;
}
