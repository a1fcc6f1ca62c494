/**
 * Owns what a running demo has outside its process: namespaces and a private folder, named by its process id, and the
 * removal of those that a demo left which was killed with SIGKILL and so could not clean up.
 */
import { tmpdir } from "node:os";
import { deleteNamespace, listNamespaces, namespaceExists } from "../../../ffi/netns.ts";
import { dropJournals } from "../journal.ts";

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
    for (const pid of processesIn(name)) kill(pid);
    try {
      removeNamespace(name);
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
  const inode = inodeOf(pathOf(name));
  if (inode !== null) dropJournals(inode);
  deleteNamespace(name);
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
function processesIn(namespace: string): number[] {
  const inode = inodeOf(pathOf(namespace));
  if (inode === null) return [];
  return [...Deno.readDirSync("/proc")]
    .filter(({ name }) => /^\d+$/.test(name) && inodeOf(`/proc/${name}/ns/net`) === inode)
    .map(({ name }) => Number(name));
}

function pathOf(namespace: string): string {
  return `/run/netns/${namespace}`;
}

/** Null where there is none to be seen: a process may end while we look, or be closed to us. */
function inodeOf(path: string): number | null {
  try {
    return Deno.statSync(path).ino;
  } catch {
    return null;
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
