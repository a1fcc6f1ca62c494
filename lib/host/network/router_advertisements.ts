/**
 * Router advertisements: a host that begins to forward IPv6 takes itself for a router, listens to no other one any
 * more and forgets the default routes that it has from them (`rt6_purge_dflt_routers()`), unless `accept_ra` is 2.
 */
import type { Journal } from "../journal/journal.ts";
import { SysctlError } from "./sysctl.ts";

const INTERFACES = "/proc/sys/net/ipv6/conf";
/** Not read by the kernel, but for what it copies to all interfaces. */
const ALL = "all";

export class RouterListening {
  /** Those looked at: what becomes of their settings later is somebody's wish. */
  readonly #interfaces = new Set<string>([ALL]);
  readonly #journal: Pick<Journal, "makeSysctl" | "sysctlBefore">;

  constructor(journal: Pick<Journal, "makeSysctl" | "sysctlBefore">) {
    this.#journal = journal;
  }

  /**
   * Has every interface that listens to routers, and those that will, go on with it. To be called before the host
   * forwards, and whenever there may be new interfaces.
   */
  keep(): void {
    for (const { name } of Deno.readDirSync(INTERFACES)) {
      if (this.#interfaces.has(name)) continue;
      this.#interfaces.add(name);
      const path = `${INTERFACES}/${name}/accept_ra`;
      try {
        if (this.#journal.sysctlBefore(path) === "1") this.#journal.makeSysctl(path, "2");
      } catch (error) {
        // The interface has gone meanwhile; or the host may not be made to forward either, which is said then.
        if (!(error instanceof Deno.errors.NotFound || error instanceof SysctlError)) throw error;
      }
    }
  }
}
