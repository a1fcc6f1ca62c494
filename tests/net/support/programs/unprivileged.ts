/**
 * Unprivileged runs of this project's program as a user who is nobody else: the runtime and its cache, which only root
 * may reach in root's home, are mounted where that user may.
 */
import { temporaryFile } from "../config.ts";
import { temporaryFolder } from "../../../support/folder.ts";

/** Programs that tests with it need. */
export const UNPRIVILEGED_PROGRAMS: readonly string[] = ["unshare", "mount", "setpriv", "mknod"];

/** Debian's `nobody`; any user without rights would do. */
const USER = 65_534;
const MAIN = new URL("../../../../main.ts", import.meta.url).pathname;

export interface UnprivilegedOptions {
  /** As in `net_admin`; what a service would get by `AmbientCapabilities`, a file by `setcap`. */
  readonly capabilities?: readonly string[];
  /** Whether the user may open `/dev/net/tun`. */
  readonly tun?: boolean;
}

export class Unprivileged implements Disposable {
  readonly #folder = temporaryFolder();

  constructor() {
    Deno.chmodSync(this.#folder, 0o755);
    Deno.mkdirSync(`${this.#folder}/cache`);
    Deno.mkdirSync(this.runtimeDirectory);
    Deno.chownSync(this.runtimeDirectory, USER, USER);
    Deno.writeTextFileSync(`${this.#folder}/deno`, "");
  }

  /** A directory that is the user's. */
  get runtimeDirectory(): string {
    return `${this.#folder}/run`;
  }

  /** A file that the user alone can read, with this text. */
  file(text: string): { readonly path: string } & Disposable {
    const file = temporaryFile(text);
    Deno.chownSync(file.path, USER, USER);
    return file;
  }

  /** The command line that runs `vpn ARGS` as that user. */
  command(
    args: readonly string[],
    { capabilities = [], tun = false }: UnprivilegedOptions = {},
  ): string[] {
    const cache = new URL(
      ".",
      `file://${Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`}/`,
    );
    const script = [
      `mount --bind ${cache.pathname} ${this.#folder}/cache`,
      `mount --bind ${Deno.execPath()} ${this.#folder}/deno`,
      // Both ways, as the host's own may be open to everybody, as udev makes it, or to root alone.
      `test -e ${this.#folder}/tun || mknod ${this.#folder}/tun c 10 200`,
      `chmod ${tun ? "666" : "600"} ${this.#folder}/tun`,
      `mount --bind ${this.#folder}/tun /dev/net/tun`,
      'cd /; exec "$@"',
    ].join("\n");
    const sets = capabilities.map((name) => `+${name}`).join(",");
    return [
      ...["unshare", "--mount", "sh", "-ec", script, "sh"],
      ...["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"],
      ...sets === "" ? [] : [`--inh-caps=${sets}`, `--ambient-caps=${sets}`],
      ...["env", `DENO_DIR=${this.#folder}/cache`, `XDG_RUNTIME_DIR=${this.runtimeDirectory}`],
      ...[`${this.#folder}/deno`, "run", "--quiet", "--allow-all", MAIN, ...args],
    ];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
