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

/**
 * Removes the traces of demos that are no more, and ends the processes that run in their namespaces.
 *
 * @returns a line for each thing removed
 */
export function removeLeftovers(): string[] {
  const namespaces = listNamespaces().filter(isLeftover);
  for (const name of namespaces) {
    try {
      removeWithProcesses(name);
    } catch (error) {
      // Another demo, started at the same time, was quicker.
      if (namespaceExists(name)) throw error;
    }
  }
  const folders = [...Deno.readDirSync(tmpdir())]
    .filter(({ name }) => isLeftover(name))
    .map(({ name }) => `${tmpdir()}/${name}`);
  folders.forEach(removeFolder);
  return [
    ...namespaces.map((name) => `removed network namespace ${name}`),
    ...folders.map((path) => `removed ${path}`),
  ];
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

/** Removes a folder, if it is ours and still there. */
export function removeFolder(path: string): void {
  try {
    const { uid, isDirectory } = Deno.lstatSync(path);
    if (isDirectory && uid === Deno.uid()) Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
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
