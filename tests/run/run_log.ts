/** The whole output of what a run starts, a file for each program, in a folder that the run's end names. */

/** A file that takes lines. */
export interface LogFile extends Disposable {
  readonly path: string;
  write(line: string): void;
}

let folder: string | null = null;

/** The folder: VPN_TEST_LOGS, or a temporary one of this run. */
export function logFolder(): string {
  const chosen = Deno.env.get("VPN_TEST_LOGS");
  if (folder !== null) return folder;
  folder = chosen ?? Deno.makeTempDirSync({ prefix: "vpn-tests-" });
  Deno.mkdirSync(folder, { recursive: true });
  return folder;
}

/** Removes the folder, unless VPN_TEST_LOGS names it: of a run in which nothing failed, nobody reads it. */
export function removeLogs(): void {
  if (folder === null || Deno.env.has("VPN_TEST_LOGS")) return;
  Deno.removeSync(folder, { recursive: true });
  folder = null;
}

/** Begins a file for a program; `label` may be a path, whose slashes become dashes. */
export function openLog(label: string): LogFile {
  const path = `${logFolder()}/${label.replaceAll("/", "-").replace(/^-|\.ts$/g, "")}.log`;
  const file = Deno.openSync(path, { write: true, create: true, truncate: true });
  const encoder = new TextEncoder();
  return {
    path,
    write: (line) => void file.writeSync(encoder.encode(`${line}\n`)),
    [Symbol.dispose]: () => file.close(),
  };
}
