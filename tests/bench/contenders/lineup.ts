/** Line-up of a run: the contenders that can be had here, how their programs are run, and why others cannot be had. */
import { isInstalled } from "../../support/net.ts";
import { output, run } from "../../support/process.ts";
import { ContenderName } from "../figures.ts";
import { INTERNET_NETWORK } from "../measures/nat.ts";
import type { ContenderKey } from "../options.ts";
import { cipherVersions } from "../programs/ciphers.ts";
import {
  cached,
  cacheFolder,
  fetchNewest,
  type Outcome,
  type PackageName,
  type Unpacked,
} from "../programs/newest.ts";
import type { Contender } from "./contender.ts";
import { nebula } from "./nebula.ts";
import { openvpn } from "./openvpn.ts";
import {
  type Program,
  vpn,
  vpnBoringssl,
  vpnBuiltin,
  vpnFakeTcp,
  vpnKernelNat,
  vpnLibcrypto,
} from "./vpn.ts";
import { mixed, wireguardGo } from "./wireguard_go.ts";

/** What a contender needs besides this project. */
interface Needs {
  /** Installed programs. */
  readonly installed: readonly string[];
  /** A package, unpacked. */
  readonly fetched?: PackageName;
  /** Why it is none of its own here; null where it is. */
  readonly obstacle?: () => string | null;
}

const NEEDS: Readonly<Record<ContenderKey, Needs>> = {
  "vpn": { installed: [] },
  "faketcp": { installed: [] },
  "boringssl": { installed: [], obstacle: boringsslObstacle },
  "libcrypto": { installed: [] },
  "builtin": { installed: [] },
  "wireguard-go": { installed: ["wg"], fetched: "wireguard-go" },
  "wireguard-go-installed": { installed: ["wireguard-go", "wg"] },
  "nebula": { installed: [], fetched: "nebula" },
  "openvpn": { installed: ["openssl"], fetched: "openvpn" },
  "mixed": { installed: ["wg"], fetched: "wireguard-go" },
};

/** Installed programs that these contenders need. */
export function programsOf(keys: readonly ContenderKey[]): string[] {
  return [...new Set(keys.flatMap((key) => NEEDS[key].installed))];
}

export interface LineupOptions {
  readonly keys: readonly ContenderKey[];
  /** This project. */
  readonly program: Program;
  readonly note: (text: string) => void;
}

/** The contenders of a run. Disposal removes their keys. */
export interface Lineup extends Disposable {
  readonly contenders: ReadonlyMap<ContenderKey, Contender>;
  /** Another of ours, for the figures of NAT alone; null where ours is not asked for. */
  readonly kernelNat: Contender | null;
  /** Those that cannot be had here, each with the reason. */
  readonly absent: readonly string[];
  /** By contender. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Gets what the contenders need, as far as it can be had, and makes them. */
export async function lineUp({ keys, program, note }: LineupOptions): Promise<Lineup> {
  using stack = new DisposableStack();
  const packages = [...new Set(keys.flatMap((key) => NEEDS[key].fetched ?? []))];
  const outcomes = await unpacked(packages, note);
  const contenders = new Map<ContenderKey, Contender>();
  const absent: string[] = [];
  for (const key of keys) {
    const reason = missingFor(NEEDS[key], outcomes);
    if (reason === null) contenders.set(key, await make(key, { program, outcomes, stack }));
    else absent.push(`${key}: ${reason}`);
  }
  const versions = await versionsOf(contenders, { program, outcomes });
  const kept = stack.move();
  return {
    contenders,
    kernelNat: contenders.has("vpn") ? vpnKernelNat(program) : null,
    absent,
    versions,
    [Symbol.dispose]: () => kept.dispose(),
  };
}

type Outcomes = ReadonlyMap<PackageName, Outcome>;

/** From the cache, and by fetching what is not there. */
async function unpacked(
  packages: readonly PackageName[],
  note: (text: string) => void,
): Promise<Outcomes> {
  const folder = cacheFolder();
  const outcomes = new Map<PackageName, Outcome>();
  for (const name of packages) {
    const there = cached(name, folder);
    if (there !== null) outcomes.set(name, there);
  }
  const missing = packages.filter((name) => !outcomes.has(name));
  if (missing.length === 0) return outcomes;
  return new Map([...outcomes, ...await fetchNewest(missing, { folder, note })]);
}

/** Why a contender cannot be had; null where it can. */
export function missingFor(
  { installed, fetched, obstacle }: Needs,
  outcomes: Outcomes,
): string | null {
  const found = obstacle?.() ?? null;
  if (found !== null) return found;
  const absent = installed.filter((program) => !isInstalled(program));
  if (absent.length > 0) return `${absent.join(" and ")} is not installed`;
  const outcome = fetched === undefined ? undefined : outcomes.get(fetched);
  return outcome !== undefined && "reason" in outcome ? outcome.reason : null;
}

function boringsslObstacle(): string | null {
  const { "ipsec-mb": ipsecMb, boringssl } = cipherVersions();
  if (boringssl === undefined) return "the library is not installed";
  return ipsecMb === undefined ? "it is what `vpn` has here" : null;
}

interface Materials {
  readonly program: Program;
  readonly outcomes: Outcomes;
  readonly stack: DisposableStack;
}

async function make(
  key: ContenderKey,
  { program, outcomes, stack }: Materials,
): Promise<Contender> {
  const command = (name: PackageName, of: string = name) =>
    (outcomes.get(name) as Unpacked).commands[of]!;
  switch (key) {
    case "vpn":
      return vpn(program);
    case "faketcp":
      return vpnFakeTcp(program);
    case "boringssl":
      return vpnBoringssl(program);
    case "libcrypto":
      return vpnLibcrypto(program);
    case "builtin":
      return vpnBuiltin(program);
    case "wireguard-go":
      return wireguardGo(ContenderName.wireguardGo, command("wireguard-go"));
    case "wireguard-go-installed":
      return wireguardGo(ContenderName.wireguardGoInstalled, ["wireguard-go"]);
    case "nebula": {
      const nebulaCert = command("nebula", "nebula-cert");
      const programs = { nebula: command("nebula"), nebulaCert };
      return stack.use(await nebula(programs, INTERNET_NETWORK));
    }
    case "openvpn":
      return stack.use(await openvpn(command("openvpn")));
    case "mixed":
      return mixed(program, command("wireguard-go"));
  }
}

/** What each contender's program is: the version of its package, and what it says where that differs. */
async function versionsOf(
  contenders: ReadonlyMap<ContenderKey, Contender>,
  { program, outcomes }: Omit<Materials, "stack">,
): Promise<Record<string, string>> {
  const versions: Record<string, string> = {
    [ContenderName.vpn]: await versionOfOurs(program),
  };
  for (const [key, { name }] of contenders) {
    const { fetched } = NEEDS[key];
    if (key === "wireguard-go-installed") {
      const says = await output(null, ["wireguard-go", "--version"]);
      versions[name] = /v(\d\S*)/.exec(says)?.[1] ?? says.split("\n")[0]!;
    } else if (fetched !== undefined && key !== "mixed") {
      const { version, says } = outcomes.get(fetched) as Unpacked;
      versions[name] = version.includes(says) ? version : `${version} (says ${says})`;
    }
  }
  return versions;
}

/** What it says, and of sources the commit. */
async function versionOfOurs(program: Program): Promise<string> {
  const says = (await output(null, [...program, "--version"])).trim();
  if (program.length === 1 || !isInstalled("git")) return says;
  const folder = new URL(".", import.meta.url).pathname;
  const describe = ["git", "-C", folder, "describe", "--always", "--dirty"];
  const { code, stdout } = await run(null, describe);
  return code === 0 ? `${says}, commit ${stdout.trim()}` : says;
}
