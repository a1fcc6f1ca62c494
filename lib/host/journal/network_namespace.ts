/**
 * Network namespace of a journal: names the one that a note is about. The inode of one that has gone is given to
 * another, so where the kernel has cookies, which it never uses twice, they count, too.
 */
import { namespaceCookie } from "../../../ffi/netns.ts";

const NAMESPACE_LINK = /^net:\[\d+\]$/;

/** What tells a network namespace from others. */
export interface NetworkNamespace {
  /** As in `net:[4026531840]`. */
  readonly namespace: string;
  /** Decimal; left out where the kernel has none (before Linux 5.14). */
  readonly cookie?: string;
}

/** The one that this thread is in. */
export function currentNetworkNamespace(): NetworkNamespace {
  const namespace = Deno.readLinkSync("/proc/thread-self/ns/net");
  const cookie = namespaceCookie();
  return cookie === null ? { namespace } : { namespace, cookie: `${cookie}` };
}

export function isSameNamespace(one: NetworkNamespace, other: NetworkNamespace): boolean {
  if (one.namespace !== other.namespace) return false;
  return one.cookie === undefined || other.cookie === undefined || one.cookie === other.cookie;
}

/**
 * Whether a namespace has gone: no process that can be seen is in it, and no name is mounted on it. One that is merely
 * held open counts as gone, too: nobody can get at what was changed in it. False where that cannot be told, as by
 * anybody but root.
 */
export function isGone(owner: NetworkNamespace): boolean {
  const current = currentNetworkNamespace();
  // Its inode is another's now.
  if (owner.namespace === current.namespace) return !isSameNamespace(owner, current);
  return Deno.uid() === 0 && !livingNamespaces().has(owner.namespace);
}

/** The links of all namespaces that have a process in them or a name mounted on them. */
function livingNamespaces(): ReadonlySet<string> {
  const links = new Set<string>();
  for (const { name } of Deno.readDirSync("/proc")) {
    const link = /^\d+$/.test(name) ? linkOf(name) : null;
    if (link !== null) links.add(link);
  }
  for (const line of Deno.readTextFileSync("/proc/self/mountinfo").split("\n")) {
    // Of a namespace's mount, the fourth field, which is the root, is its link (proc_pid_mountinfo(5)).
    const root = line.split(" ")[3] ?? "";
    if (NAMESPACE_LINK.test(root)) links.add(root);
  }
  return links;
}

function linkOf(pid: string): string | null {
  try {
    return Deno.readLinkSync(`/proc/${pid}/ns/net`);
  } catch {
    // It has ended since, or is a zombie, which has none, or has capabilities that this container's root lacks.
    return null;
  }
}
