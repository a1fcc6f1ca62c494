/**
 * Owns the names that a demo's traces carry, and the removal of what a demo left that was killed with SIGKILL and so
 * could not clean up. The process id in a name says whose it is.
 */
import { deleteNamespace, listNamespaces, namespaceExists } from "../../../ffi/netns.ts";

const PREFIX = "vpn-demo-";

/** The name of a namespace of the demo with process id `pid`. */
export function namespaceName(pid: number, host: string): string {
  return `${PREFIX}${pid}-${host}`;
}

/** What the private folder's name of the demo with process id `pid` begins with. */
export function folderPrefix(pid: number): string {
  return `${PREFIX}${pid}-`;
}

/** The process id in such a name; null for names of others. */
export function ownerOf(name: string): number | null {
  const match = /^vpn-demo-([1-9]\d*)-/.exec(name);
  return match === null ? null : Number(match[1]);
}

/** Ends the processes in the namespaces of demos that are no more, and removes the namespaces. */
export function removeLeftovers(): void {
  for (const name of listNamespaces()) {
    const owner = ownerOf(name);
    if (owner === null || isAlive(owner)) continue;
    for (const pid of processesIn(name)) kill(pid);
    try {
      deleteNamespace(name);
    } catch (error) {
      // Another demo, started at the same time, was quicker.
      if (namespaceExists(name)) throw error;
    }
  }
}

function isAlive(pid: number): boolean {
  return statOf(`/proc/${pid}`) !== null;
}

/** The processes whose first thread is in the namespace: nobody but the demo has put any there. */
function processesIn(namespace: string): number[] {
  const inode = statOf(`/run/netns/${namespace}`)?.ino;
  if (inode === undefined || inode === null) return [];
  const pids: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (/^\d+$/.test(name) && statOf(`/proc/${name}/ns/net`)?.ino === inode) {
      pids.push(Number(name));
    }
  }
  return pids;
}

function statOf(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    // A process that is not there any more, or one that we may not look into.
    if (error instanceof Deno.errors.NotFound) return null;
    if (error instanceof Deno.errors.PermissionDenied) return null;
    throw error;
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
