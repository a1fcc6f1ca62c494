/**
 * Debian's archive by an apt with folders of its own: packages of any release. It checks what it gets as ever; nothing
 * is installed, and the host's own apt, its lists and what is hooked to them never hear of it.
 */
import { output } from "./process.ts";

const MIRROR = "http://deb.debian.org/debian";
/** The keys that the archive is signed with. */
export const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

export interface OwnAptOptions {
  /** Where its lists, its state and what it brings are kept from run to run. */
  readonly folder: string;
  /** As in `unstable`. */
  readonly suite: string;
  /** The host's if left out. */
  readonly architecture?: string;
  /** Where `apt-get download` puts packages. */
  readonly downloads: string;
}

/** Runs a program of apt's with these folders; gives what it wrote. */
export type OwnApt = (program: string, ...args: readonly string[]) => Promise<string>;

/** Makes the folders, and the apt that keeps to them. */
export function layOwnApt(options: OwnAptOptions): OwnApt {
  const { folder, suite, downloads } = options;
  for (const path of [`${folder}/lists/partial`, `${folder}/archives/partial`, `${folder}/log`]) {
    Deno.mkdirSync(path, { recursive: true });
  }
  Deno.mkdirSync(downloads, { recursive: true });
  // As if nothing were installed: so all that a package needs comes along.
  Deno.writeTextFileSync(`${folder}/status`, "");
  Deno.writeTextFileSync(
    `${folder}/sources.list`,
    `deb [signed-by=${KEYRING}] ${MIRROR} ${suite} main\n`,
  );
  const config = `${folder}/apt.conf`;
  Deno.writeTextFileSync(config, configText(options));
  const environment = ["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"];
  return (program, ...args) =>
    output(null, [
      ...["env", "-C", downloads, ...environment, "nice", "-n", "19"],
      // After the host's settings, which a proxy may be among, and before the arguments.
      ...[program, `--config-file=${config}`, ...args],
    ]);
}

function configText({ folder, architecture }: OwnAptOptions): string {
  const settings = {
    ...architecture === undefined
      ? {}
      : { "APT::Architecture": architecture, "APT::Architectures": architecture },
    "APT::Install-Recommends": "false",
    // Its own user could not write here.
    "APT::Sandbox::User": "",
    // Else a list that cannot be had is a warning, and the old one is used.
    "APT::Update::Error-Mode": "any",
    "Acquire::Languages": "none",
    "Acquire::Retries": "2",
    "Dir::Etc::sourcelist": `${folder}/sources.list`,
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State": folder,
    "Dir::State::lists": `${folder}/lists`,
    "Dir::State::status": `${folder}/status`,
    "Dir::Cache": folder,
    "Dir::Cache::archives": `${folder}/archives`,
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
    "Dir::Log": `${folder}/log`,
  };
  return [
    ...Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`),
    ...HOOKS.map((hook) => `#clear ${hook};\n`),
  ].join("");
}

/** What hosts let run beside an update: it would renew what belongs to their own lists. */
const HOOKS = ["Pre-Invoke", "Post-Invoke", "Post-Invoke-Success"]
  .map((moment) => `APT::Update::${moment}`);
