/**
 * Traces of a demo outside its process: namespaces and a private folder, named by its process id, and the removal of
 * those that a demo left which was killed with SIGKILL and so could not clean up.
 */
import { tmpdir } from "node:os";
import {
  deleteNamespace,
  listNamespaces,
  namespaceExists,
  openNamespace,
} from "../../../ffi/netns.ts";
import type { Undoing } from "../undoing.ts";
import { dropJournals } from "../../host/journal/journal_files.ts";

/** The name of a namespace of this process's demo. */
export function namespaceName(host: string): string {
  return `vpn-demo-${Deno.pid}-${host}`;
}

/** Makes a folder that nobody else can look into, and returns its path. */
export function makePrivateFolder(): string {
  return Deno.makeTempDirSync({ dir: tmpdir(), prefix: `vpn-demo-${Deno.pid}-` });
}

/** The process id in the name of a namespace or folder of a demo; null in names of others. */
export function ownerOf(name: string): number | null {
  const match = /^vpn-demo-([1-9]\d*)-./.exec(name);
  return match === null ? null : Number(match[1]);
}

/** Removes the traces of demos that are no more, and ends the processes that run in their namespaces. */
export function removeLeftovers(undoing: Undoing): void {
  const remedy = "remove it by hand";
  for (const name of listNamespaces().filter(isLeftover)) {
    undoing.attempt(`remove network namespace ${name}`, remedy, () => {
      try {
        removeWithProcesses(name);
      } catch (error) {
        // Another demo, started at the same time, was quicker.
        if (namespaceExists(name)) throw error;
      }
      undoing.lines.push(`removed network namespace ${name}`);
    });
  }
  for (const { name } of [...Deno.readDirSync(tmpdir())].filter(({ name }) => isLeftover(name))) {
    const path = `${tmpdir()}/${name}`;
    undoing.attempt(`remove ${path}`, remedy, () => {
      if (removeFolder(path)) undoing.lines.push(`removed ${path}`);
    });
  }
}

/** Takes a namespace away whose processes have ended, and their notes of what they changed there. */
export function removeNamespace(name: string): void {
  dropJournals(inodeOf(pathOf(name)));
  deleteNamespace(name);
}

/** The same where processes may still run in it, or be about to enter it. */
function removeWithProcesses(name: string): void {
  // While it is open, no other namespace gets its inode.
  using _open = openNamespace(name);
  const inode = inodeOf(pathOf(name));
  // From here on nobody can enter it.
  deleteNamespace(name);
  for (const pid of processesIn(inode)) kill(pid);
  dropJournals(inode);
}

/** Removes a folder, if it is ours and still there. @returns whether it was */
export function removeFolder(path: string): boolean {
  try {
    const { uid, isDirectory } = Deno.lstatSync(path);
    // Another user's is only called so.
    if (!isDirectory || uid !== Deno.uid()) return false;
    Deno.removeSync(path, { recursive: true });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function isLeftover(name: string): boolean {
  const owner = ownerOf(name);
  if (owner === null) return false;
  try {
    Deno.statSync(`/proc/${owner}`);
    return false;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}

/** The processes whose first thread is in the namespace: nobody but the demo has put any there. */
function processesIn(inode: number): number[] {
  return [...Deno.readDirSync("/proc")]
    .filter(({ name }) => /^\d+$/.test(name) && isIn(name, inode))
    .map(({ name }) => Number(name));
}

function isIn(pid: string, inode: number): boolean {
  try {
    return inodeOf(`/proc/${pid}/ns/net`) === inode;
  } catch {
    // A process may end while we look, or be closed to us.
    return false;
  }
}

function inodeOf(path: string): number {
  return Deno.statSync(path).ino!;
}

function pathOf(namespace: string): string {
  return `/run/netns/${namespace}`;
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
