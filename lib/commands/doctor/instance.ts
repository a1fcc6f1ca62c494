/** Instance of a tunnel interface: finds out whether a process of ours has it, another VPN, or nobody. */
import { AppError } from "../../process/errors.ts";
import { allJournals, type JournalFile } from "../../host/journal/journal_files.ts";
import { currentNetworkNamespace, isSameNamespace } from "../../host/journal/network_namespace.ts";
import { isAlive } from "../../process/process_identity.ts";

const TUN_DEVICE = "/dev/net/tun";

export interface TunnelOwner {
  readonly pid: number;
  /** As in `"deno" (process 812)`. */
  readonly title: string;
  /** Whether it is this program. */
  readonly isOurs: boolean;
}

/**
 * The process that has the interface of this name in this network namespace; null where there is none, or none that
 * this user may see.
 */
export function findTunnelOwner(interfaceName: string): TunnelOwner | null {
  const namespace = currentNetworkNamespace();
  const journal = visibleJournals().find(({ owner }) =>
    owner.interfaceName === interfaceName && isSameNamespace(owner, namespace) && isAlive(owner)
  );
  const pid = journal?.owner.pid ?? holderOf(interfaceName, namespace.namespace);
  if (pid === null) return null;
  const isOurs = journal !== undefined || isThisProgram(pid);
  return { pid, title: `"${readLine(`/proc/${pid}/comm`)}" (process ${pid})`, isOurs };
}

/** The journals, as far as this user may read them. */
function visibleJournals(): JournalFile[] {
  try {
    return allJournals();
  } catch (error) {
    if (error instanceof AppError) return [];
    throw error;
  }
}

/** The process with a descriptor of the TUN of this name: the kernel tells in `fdinfo` which one it is attached to. */
function holderOf(interfaceName: string, namespace: string): number | null {
  for (const { name: pid } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (Deno.readLinkSync(`/proc/${pid}/ns/net`) !== namespace) continue;
      for (const { name: fd } of Deno.readDirSync(`/proc/${pid}/fd`)) {
        if (!Deno.readLinkSync(`/proc/${pid}/fd/${fd}`).endsWith(TUN_DEVICE)) continue;
        const attached = /^iff:\s*(\S+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/fdinfo/${fd}`));
        if (attached?.[1] === interfaceName) return Number(pid);
      }
    } catch {
      // Processes and descriptors come and go while we look, and some are not ours to see.
    }
  }
  return null;
}

/**
 * The same executable, told to be a server or a client: a client that has changed nothing but routes has no journal.
 */
function isThisProgram(pid: number): boolean {
  const args = readLine(`/proc/${pid}/cmdline`).split("\0");
  try {
    return Deno.readLinkSync(`/proc/${pid}/exe`) === Deno.readLinkSync("/proc/self/exe") &&
      args.some((word) => word === "server" || word === "client") && args.includes("--config");
  } catch {
    // It has ended since.
    return false;
  }
}

function readLine(path: string): string {
  try {
    return Deno.readTextFileSync(path).trimEnd();
  } catch {
    return "unknown";
  }
}
