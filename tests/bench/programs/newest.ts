/**
 * Newest programs of others: Debian unstable's packages, unpacked into a cache folder. Nothing is installed, and the
 * host's own apt never hears of them. Where the host's libraries are too old for a program, or not there, it runs with
 * those of its own release, by their own loader.
 */
import { errorMessage } from "../../../lib/process/errors.ts";
import { isInstalled } from "../../support/net.ts";
import { KEYRING, layOwnApt, type OwnApt } from "../../support/own_apt.ts";
import { output, run } from "../../support/process.ts";
import { librariesOf, type Package, parsePackages } from "./packages.ts";

const SUITE = "unstable";
const MANIFEST = "manifest.json";
const PROBE_TIMEOUT_MS = 10_000;

/** What is taken from a package. */
interface Wanted {
  /** Programs by name: their paths in the package. The first is asked for its version. */
  readonly programs: Readonly<Record<string, string>>;
  readonly versionFlag: string;
  /** What it says of itself, the version in a group. */
  readonly version: RegExp;
}

export const PACKAGES = {
  "wireguard-go": {
    programs: { "wireguard-go": "usr/bin/wireguard-go" },
    versionFlag: "--version",
    version: /^wireguard-go v?(\S+)/m,
  },
  "nebula": {
    programs: { "nebula": "usr/bin/nebula", "nebula-cert": "usr/bin/nebula-cert" },
    versionFlag: "-version",
    version: /^Version: (\S+)/m,
  },
  "openvpn": {
    programs: { "openvpn": "usr/sbin/openvpn" },
    versionFlag: "--version",
    version: /^OpenVPN (\S+)/m,
  },
  // Of no bench: for the tests of a fleet.
  "nats-server": {
    programs: { "nats-server": "usr/sbin/nats-server" },
    versionFlag: "--version",
    version: /^nats-server: v?(\S+)/m,
  },
} as const satisfies Record<string, Wanted>;

export type PackageName = keyof typeof PACKAGES;
export const PACKAGE_NAMES = Object.keys(PACKAGES) as PackageName[];

/** A program that has been tried on this host. */
export interface Unpacked {
  /** Of the package. */
  readonly version: string;
  /** What the program itself says, which may be behind. */
  readonly says: string;
  /** How each program is run: the words of a command line up to its own arguments. */
  readonly commands: Readonly<Record<string, readonly string[]>>;
}

/** What became of a package: there, or the reason why not. */
export type Outcome = Unpacked | { readonly reason: string };

/** Where all of it is kept from run to run. */
export function cacheFolder(): string {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return `${cache}/vpn-bench`;
}

/** What is in the cache, as far as it is whole. */
export function cached(name: PackageName, folder: string): Unpacked | null {
  try {
    const text = Deno.readTextFileSync(`${folder}/${name}/${MANIFEST}`);
    const unpacked: Unpacked = JSON.parse(text);
    const files = Object.values(unpacked.commands).flat().filter((word) => word.startsWith("/"));
    return files.flatMap((word) => word.split(":")).every(exists) ? unpacked : null;
  } catch {
    return null;
  }
}

/** Brings the newest of each package into the cache, in place of an older one. */
export async function fetchNewest(
  names: readonly PackageName[],
  { folder, note }: { readonly folder: string; readonly note: (text: string) => void },
): Promise<Map<PackageName, Outcome>> {
  const outcomes = new Map<PackageName, Outcome>();
  const failAll = (reason: string) => new Map(names.map((name) => [name, { reason }] as const));
  const obstacle = missingSource();
  if (obstacle !== null) return failAll(obstacle);
  const apt = layOwnApt({ folder: `${folder}/apt`, suite: SUITE, downloads: `${folder}/debs` });
  try {
    note(`reading the list of Debian ${SUITE}`);
    await apt("apt-get", "-qq", "update");
  } catch (error) {
    return failAll(`the list of Debian ${SUITE} cannot be had: ${reasonOf(error)}`);
  }
  for (const name of names) {
    try {
      outcomes.set(name, await fetchOne(name, { apt, folder, note }));
    } catch (error) {
      outcomes.set(name, { reason: reasonOf(error) });
    }
  }
  return outcomes;
}

/** Why packages cannot be had here at all; null where they can. */
export function missingSource(
  { hasProgram = isInstalled, hasFile = exists }: {
    readonly hasProgram?: (name: string) => boolean;
    readonly hasFile?: (path: string) => boolean;
  } = {},
): string | null {
  const absent = ["apt-get", "apt-cache", "dpkg-deb"].find((program) => !hasProgram(program));
  if (absent !== undefined) {
    return `it is had from Debian's archive, and there is no ${absent} here`;
  }
  if (!hasFile(KEYRING)) return `the keys of Debian's archive are not here: ${KEYRING}`;
  return null;
}

interface Fetching {
  readonly apt: OwnApt;
  readonly folder: string;
  readonly note: (text: string) => void;
}

async function fetchOne(name: PackageName, { apt, folder, note }: Fetching): Promise<Outcome> {
  const show = async (names: readonly string[]) => {
    try {
      return parsePackages(await apt("apt-cache", "show", ...names));
    } catch (error) {
      // Its exit code is 0 where one of several is there, and not where none is.
      if (reasonOf(error) === "No packages found") return new Map<string, Package>();
      throw error;
    }
  };
  const found = (await show([name])).get(name);
  if (found === undefined) {
    return { reason: `Debian ${SUITE} has no package ${name} for this host` };
  }
  const before = cached(name, folder);
  if (before?.version === found.version) return before;
  note(`fetching ${name} ${found.version}`);
  const fresh = `${folder}/${name}.new`;
  removeIfThere(fresh);
  await unpack([found], fresh, { apt, folder });
  if (await tryOut(name, fresh) === null) {
    const libraries = await librariesOf(found, show);
    note(`fetching what it needs: ${libraries.join(", ")}`);
    const packages = await show(libraries);
    await unpack([...packages.values()], fresh, { apt, folder });
  }
  const says = await tryOut(name, fresh);
  if (says === null) return { reason: `${name} ${found.version} does not run here` };
  const place = `${folder}/${name}`;
  removeIfThere(place);
  Deno.renameSync(fresh, place);
  const unpacked = { version: found.version, says, commands: commandsOf(name, place) };
  Deno.writeTextFileSync(`${place}/${MANIFEST}`, `${JSON.stringify(unpacked, null, 2)}\n`);
  return unpacked;
}

/** Downloads packages and unpacks them over each other; their scripts are not run. */
async function unpack(
  packages: readonly Package[],
  place: string,
  { apt, folder }: { readonly apt: OwnApt; readonly folder: string },
): Promise<void> {
  const debs = `${folder}/debs`;
  for (const { name } of Deno.readDirSync(debs)) Deno.removeSync(`${debs}/${name}`);
  await apt("apt-get", "-qq", "download", ...packages.map((it) => `${it.name}=${it.version}`));
  for (const { name } of Deno.readDirSync(debs)) {
    await output(null, ["dpkg-deb", "-x", `${debs}/${name}`, place]);
    Deno.removeSync(`${debs}/${name}`);
  }
}

/** Words before a program's path that run it with the libraries beside it; none where it has none. */
function loaderOf(place: string): string[] {
  const libraries = `${place}/usr/lib`;
  if (!exists(libraries)) return [];
  for (const { name } of Deno.readDirSync(libraries)) {
    const folder = `${libraries}/${name}`;
    if (!name.includes("-linux-gnu") || !Deno.statSync(folder).isDirectory) continue;
    const loader = [...Deno.readDirSync(folder)].find((file) => file.name.startsWith("ld-linux"));
    if (loader !== undefined) return [`${folder}/${loader.name}`, "--library-path", folder];
  }
  return [];
}

/** How the package's programs are run from there. */
function commandsOf(name: PackageName, place: string): Record<string, string[]> {
  const { programs }: Wanted = PACKAGES[name];
  const loader = loaderOf(place);
  return Object.fromEntries(
    Object.entries(programs).map(([program, path]) => [program, [...loader, `${place}/${path}`]]),
  );
}

/** The version that its first program tells; null where it does not run. */
async function tryOut(name: PackageName, place: string): Promise<string | null> {
  const { versionFlag, version }: Wanted = PACKAGES[name];
  const [program] = Object.values(commandsOf(name, place));
  const options = { timeoutMs: PROBE_TIMEOUT_MS };
  const { stdout } = await run(null, [...program!, versionFlag], options);
  return version.exec(stdout)?.[1] ?? null;
}

/** What apt has to say, in one line. */
export function reasonOf(error: unknown): string {
  const message = errorMessage(error);
  return /\b[EW]: (.*)/.exec(message)?.[1]?.trim() ?? message.split("\n")[0]!;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function removeIfThere(path: string): void {
  if (exists(path)) Deno.removeSync(path, { recursive: true });
}
