/**
 * Network namespace of a journal: names the one that a note is about. The inode of one that has gone is given to
 * another, so where the kernel has cookies, which it never uses twice, they count, too.
 */
import { namespaceCookie, namespaceCookieAt } from "../../../ffi/netns.ts";

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
  return Deno.uid() === 0 && filesOf(owner.namespace).every((file) => isOfAnother(file, owner));
}

/** The files by which a namespace can be entered: of each process in it, and each name mounted on it. */
function filesOf(namespace: string): string[] {
  const files: string[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    const file = `/proc/${name}/ns/net`;
    if (/^\d+$/.test(name) && linkAt(file) === namespace) files.push(file);
  }
  for (const line of Deno.readTextFileSync("/proc/self/mountinfo").split("\n")) {
    // Of a namespace's mount, the fourth field, which is the root, is its link (proc_pid_mountinfo(5)).
    const [, , , root, file] = line.split(" ");
    if (root === namespace && file !== undefined) files.push(unescapeOctal(file));
  }
  return files;
}

function linkAt(file: string): string | null {
  try {
    return Deno.readLinkSync(file);
  } catch {
    // Its process has ended since, or is a zombie, or has capabilities that the root of this container lacks.
    return null;
  }
}

/** How mountinfo writes blanks and backslashes. */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8)));
}

/** Whether a file that had the namespace's inode is no way into it: it is another's with that inode, or has gone. */
function isOfAnother(file: string, { namespace, cookie }: NetworkNamespace): boolean {
  try {
    const found = namespaceCookieAt(file);
    if (found === null) return linkAt(file) !== namespace;
    return cookie !== undefined && `${found}` !== cookie;
  } catch {
    return false;
  }
}
