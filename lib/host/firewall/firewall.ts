/**
 * Firewall of the host, for what cannot do without it: where the kernel has none, that is said before anything is
 * noted.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { NoNftablesError } from "../../../ffi/netlink/nftables/nfnetlink.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { AppError, ExitCode } from "../../process/errors.ts";

export interface FirewallOptions {
  /** As in `use KillSwitch = on`. */
  readonly purpose: string;
  /** What else can be done than to load the kernel's module, as in `set KillSwitch = off`; null for nothing. */
  readonly otherwise: string | null;
  /** Whether the tables are this process's own; see `Nftables.open()`. */
  readonly owned?: boolean;
  readonly persistent?: boolean;
}

/**
 * Opens the firewall of the thread's network namespace and tries it.
 *
 * @throws {AppError} with exit code 5 where the kernel has no nftables
 */
export function openFirewall({ purpose, otherwise, ...ownership }: FirewallOptions): Nftables {
  try {
    using opened = new DisposableStack();
    const nftables = opened.use(Nftables.open(openLibc(), ownership));
    nftables.listTables();
    opened.move();
    return nftables;
  } catch (error) {
    if (!(error instanceof NoNftablesError)) throw error;
    const reason = error.message.replace(/^Cannot use the firewall: /, "");
    const more = otherwise === null ? "" : `, or ${otherwise}`;
    throw new AppError(`Cannot ${purpose}: ${reason}${more}`, {
      exitCode: ExitCode.privilege,
      cause: error,
    });
  }
}
