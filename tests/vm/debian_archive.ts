/** Debian's archive for a guest: packages of another release, or another machine. */
import { layOwnApt } from "../support/own_apt.ts";
import { type Guest, guestName, guestPackages } from "./guests.ts";

/** The packages of a guest, as files. */
export interface GuestPackages {
  /** The paths of those of the root file system. */
  readonly root: readonly string[];
  /** The path of the kernel's. */
  readonly kernel: string;
}

/** Where a guest's packages are kept from run to run, and its files while it runs. */
export function guestFolder(guest: Guest): string {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return `${cache}/vpn-vm/${guestName(guest)}`;
}

/**
 * Gets the packages that a guest needs, as far as they are not there from a former run.
 *
 * @throws {Error} where they cannot be had
 */
export async function getPackages(guest: Guest): Promise<GuestPackages> {
  const folder = guestFolder(guest);
  const kernels = `${folder}/kernel`;
  const apt = layOwnApt({ folder, downloads: kernels, ...guest });
  await apt("apt-get", "-qq", "update");
  // What is outdated goes: all that is left is unpacked.
  await apt("apt-get", "-qq", "autoclean");
  const packages = guestPackages(guest);
  await apt("apt-get", "-qq", "--yes", "--download-only", "install", ...packages);
  const root = debsIn(`${folder}/archives`);
  const kernelPackage = `linux-image-${guest.architecture}`;
  const depends = await apt("apt-cache", "depends", kernelPackage);
  const kernel = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (kernel === undefined) throw new Error(`${kernelPackage} depends on no kernel`);
  for (const path of debsIn(kernels)) {
    if (!path.includes(`/${kernel}_`)) Deno.removeSync(path);
  }
  await apt("apt-get", "-qq", "download", kernel);
  const [path] = debsIn(kernels);
  if (path === undefined) throw new Error(`apt-get has brought no package ${kernel}`);
  return { root, kernel: path };
}

function debsIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => `${folder}/${name}`)
    .filter((path) => path.endsWith(".deb")).sort();
}
