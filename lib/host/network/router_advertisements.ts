/**
 * Router advertisements: a host that begins to forward IPv6 takes itself for a router, listens to no other one any
 * more and forgets the default routes that it has from them (`rt6_purge_dflt_routers()`), unless `accept_ra` is 2.
 */
import type { Journal } from "../journal/journal.ts";
import { readSysctl, SysctlError } from "./sysctl.ts";

const INTERFACES = "/proc/sys/net/ipv6/conf";
/** Not read by the kernel, but for what it copies to all interfaces. */
const ALL = "all";
/** Values of `accept_ra`. */
const [DEAF, LISTENS, LISTENS_AS_ROUTER] = ["0", "1", "2"];

export class RouterListening {
  /**
   * Those looked at: what becomes of their settings later is somebody's wish. But for the value that means to listen,
   * which does not while the host forwards, and is put back.
   */
  readonly #interfaces = new Set<string>([ALL]);
  readonly #journal: Pick<Journal, "makeSysctl" | "sysctlBefore">;

  constructor(journal: Pick<Journal, "makeSysctl" | "sysctlBefore">) {
    this.#journal = journal;
  }

  /**
   * Has every interface that listens to routers, and those that will, go on with it. To be called before the host
   * forwards, and whenever there may be new interfaces.
   *
   * @param deaf names of interfaces that were routers before: by 1, they listen to nobody
   */
  keep(deaf: ReadonlySet<string>): void {
    for (const { name } of Deno.readDirSync(INTERFACES)) {
      if (this.#interfaces.has(name)) continue;
      this.#interfaces.add(name);
      if (deaf.has(name)) continue;
      const path = `${INTERFACES}/${name}/accept_ra`;
      try {
        if (this.#journal.sysctlBefore(path) !== LISTENS) continue;
        // Another of ours may have set it before, and somebody else since.
        if (readSysctl(path) === DEAF) continue;
        this.#journal.makeSysctl(path, LISTENS_AS_ROUTER, { yields: DEAF });
      } catch (error) {
        // The interface has gone meanwhile; or the host may not be made to forward either, which is said then.
        if (!(error instanceof Deno.errors.NotFound || error instanceof SysctlError)) throw error;
      }
    }
  }
}
