/**
 * Host's files about names, for tests that must not touch those of the real host: `/etc` is a folder of the test in a
 * mount namespace, and network namespaces have no names there, so that a program takes its own for the host's.
 */
import { temporaryFolder } from "../../support/folder.ts";
import type { TestNamespace } from "../../support/net.ts";
import { type BackgroundProcess } from "../../support/net.ts";
import { temporaryFile } from "./config.ts";
import { patientClient, vpnCommand } from "./programs/vpn.ts";

/** Programs that tests with it need. */
export const HOST_FILES_PROGRAMS: readonly string[] = ["unshare", "mount"];

export class HostFiles implements Disposable {
  readonly #folder = temporaryFolder();
  readonly #mounts: string;

  /**
   * @param options `fileIsMount`: `resolv.conf` is a mount of its own, as in containers; `isReadOnly`: and a read-only
   * one
   */
  constructor(
    resolvConf: string | null,
    options: { readonly fileIsMount?: boolean; readonly isReadOnly?: boolean } = {},
  ) {
    Deno.chmodSync(this.#folder, 0o755);
    for (const name of ["etc", "bin"]) Deno.mkdirSync(`${this.#folder}/${name}`);
    for (const name of ["passwd", "group", "hosts", "nsswitch.conf", "ld.so.cache"]) {
      Deno.copyFileSync(`/etc/${name}`, this.path(name));
    }
    if (resolvConf !== null) Deno.writeTextFileSync(this.path("resolv.conf"), resolvConf);
    this.#mounts = `mount --bind ${this.#folder}/etc /etc; mount -t tmpfs none /run/netns;`;
    if (options.fileIsMount === true) {
      const outside = `${this.#folder}/outside`;
      Deno.renameSync(this.path("resolv.conf"), outside);
      Deno.writeTextFileSync(this.path("resolv.conf"), "");
      this.#mounts += `mount --bind ${outside} /etc/resolv.conf;`;
      if (options.isReadOnly === true) {
        this.#mounts +=
          "mount -o remount,bind,ro /etc /etc; mount -o remount,bind,ro /etc/resolv.conf;";
      }
      this.resolvConfPath = outside;
    } else {
      this.resolvConfPath = this.path("resolv.conf");
    }
  }

  /** Where `/etc/resolv.conf` can be seen from outside. */
  readonly resolvConfPath: string;

  /** Where a file of `/etc` can be seen from outside. */
  path(name: string): string {
    return `${this.#folder}/etc/${name}`;
  }

  /** The content of `/etc/resolv.conf`; null where it is not there. */
  get resolvConf(): string | null {
    try {
      return Deno.readTextFileSync(this.resolvConfPath);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }

  /** The names in `/etc`, hidden ones included. */
  get names(): string[] {
    return Array.from(Deno.readDirSync(`${this.#folder}/etc`), ({ name }) => name).sort();
  }

  /** Makes a program that writes down its arguments and its standard input, and ends with `code`. */
  program(name: string, code = 0): void {
    const path = `${this.#folder}/bin/${name}`;
    const log = `${this.#folder}/calls`;
    Deno.writeTextFileSync(
      path,
      `#!/bin/sh\n{ echo "${name} $*"; cat; } >>${log}\necho "${name} says no" >&2\nexit ${code}\n`,
    );
    Deno.chmodSync(path, 0o755);
  }

  /** What such programs wrote down. */
  get calls(): string[] {
    try {
      return Deno.readTextFileSync(`${this.#folder}/calls`).split("\n").slice(0, -1);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }

  /** The command line that runs `command` with these files. */
  command(command: readonly string[]): string[] {
    const script = `${this.#mounts} exec "$@"`;
    return ["unshare", "--mount", "sh", "-ec", script, "sh", ...command];
  }

  /** The environment in which the programs are found. */
  get env(): Record<string, string> {
    return { PATH: `${this.#folder}/bin:${Deno.env.get("PATH")}` };
  }

  /** Starts a client with these files and waits until it is up. */
  async startClient(
    namespace: TestNamespace,
    config: string,
    ...args: readonly string[]
  ): Promise<BackgroundProcess> {
    using file = temporaryFile(patientClient(config));
    const command = this.command(vpnCommand("client", "--config", file.path, ...args));
    const process = namespace.spawn(command, { env: this.env });
    await process.waitFor(/connected to \S+/);
    return process;
  }

  /** Runs `vpn cleanup` with these files. */
  cleanup(namespace: TestNamespace): Promise<string> {
    return namespace.output(this.command(vpnCommand("cleanup")), { env: this.env });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
