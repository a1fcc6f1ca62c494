/**
 * Debian's archive for a guest: packages of another release, or another machine, by an apt with folders of its own. It
 * checks what it gets as ever; nothing is installed, and the host's own apt never hears of them.
 */
import { output } from "../support/process.ts";
import { type Guest, guestName, guestPackages } from "./guests.ts";

const MIRROR = "http://deb.debian.org/debian";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
  const apt = layFolder(guest, folder);
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
  const kernels = `${folder}/kernel`;
  for (const path of debsIn(kernels)) {
    if (!path.includes(`/${kernel}_`)) Deno.removeSync(path);
  }
  await apt("apt-get", "-qq", "download", kernel);
  const [path] = debsIn(kernels);
  if (path === undefined) throw new Error(`apt-get has brought no package ${kernel}`);
  return { root, kernel: path };
}

/** Runs a program of apt's with the folders of one guest. */
type Apt = (...command: readonly string[]) => Promise<string>;

function layFolder({ suite, architecture }: Guest, folder: string): Apt {
  for (const name of ["lists/partial", "archives/partial", "kernel", "log"]) {
    Deno.mkdirSync(`${folder}/${name}`, { recursive: true });
  }
  // As if nothing were installed: so all that a package needs comes along.
  Deno.writeTextFileSync(`${folder}/status`, "");
  Deno.writeTextFileSync(
    `${folder}/sources.list`,
    `deb [signed-by=${KEYRING}] ${MIRROR} ${suite} main\n`,
  );
  const settings = {
    "APT::Architecture": architecture,
    "APT::Architectures": architecture,
    "APT::Install-Recommends": "false",
    // Its own user could not write here.
    "APT::Sandbox::User": "",
    "Acquire::Languages": "none",
    "Acquire::Retries": "2",
    "Dir::Etc::sourcelist": `${folder}/sources.list`,
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State": folder,
    "Dir::State::status": `${folder}/status`,
    "Dir::Cache": folder,
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
    "Dir::Log": `${folder}/log`,
  };
  const config = Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`).join("");
  Deno.writeTextFileSync(`${folder}/apt.conf`, config);
  const environment = [
    `APT_CONFIG=${folder}/apt.conf`,
    "DEBIAN_FRONTEND=noninteractive",
    "LC_ALL=C",
  ];
  return (...command) =>
    output(null, ["env", "-C", `${folder}/kernel`, ...environment, "nice", "-n", "19", ...command]);
}

function debsIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => `${folder}/${name}`)
    .filter((path) => path.endsWith(".deb")).sort();
}
