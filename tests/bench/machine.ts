/** Machine: what the bench needs of it, and how it describes it. */
import { installCiphers, missingCiphers } from "../support/cipher_packages.ts";
import { isInstalled, missingPrerequisite } from "../support/net.ts";
import { run, type RunResult } from "../support/process.ts";
import { cipherVersions } from "./programs/ciphers.ts";
import type { Summary } from "./samples.ts";

/** Programs, and Debian's packages that have them. */
const PACKAGES: Readonly<Record<string, string>> = {
  "iperf3": "iperf3",
  "ip": "iproute2",
  "ping": "iputils-ping",
  "wireguard-go": "wireguard-go",
  "wg": "wireguard-tools",
  "openssl": "openssl",
  "nft": "nftables",
  "sysctl": "procps",
  "perf": "linux-perf",
};

/** Without these nothing can be measured. */
const REQUIRED = ["iperf3", "ip", "ping"];

const INSTALL = ["install", "-y", "-q", "--no-install-recommends"];

/**
 * Installs by apt what is missing of `programs`.
 *
 * @returns those that are missing still
 * @throws {Error} where the bench cannot run at all
 */
export async function installPrograms(
  programs: readonly string[],
  note: (text: string) => void,
): Promise<string[]> {
  const obstacle = missingPrerequisite();
  if (obstacle !== null) throw new Error(`Cannot run the bench: ${obstacle}`);
  const wanted = [...REQUIRED, ...programs].filter((program) => !isInstalled(program));
  const hasCiphers = missingCiphers().length === 0;
  if ((wanted.length > 0 || !hasCiphers) && isInstalled("apt-get")) {
    const packages = wanted.map((program) => PACKAGES[program]);
    if (packages.length > 0) note(`installing ${packages.join(", ")} by apt`);
    await runApt("update", "-q");
    if (packages.length > 0) {
      const { code, stderr } = await runApt(...INSTALL, ...packages);
      if (code !== 0) note(`apt failed: ${stderr.trim()}`);
    }
    if (!hasCiphers) {
      await installCiphers(async (name) => (await runApt(...INSTALL, name)).code === 0);
      for (const title of missingCiphers()) note(`${title} is not to be had: ours is without it`);
    }
  }
  const missing = wanted.filter((program) => !isInstalled(program));
  const fatal = missing.find((program) => REQUIRED.includes(program));
  if (fatal !== undefined) throw new Error(`Cannot run the bench: it needs the program ${fatal}`);
  return missing;
}

function runApt(...args: string[]): Promise<RunResult> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  return run(null, ["apt-get", ...args], { env, timeoutMs: 180_000 });
}

/** What the numbers were measured on. */
export interface Machine {
  readonly processor: string;
  readonly processors: number;
  /** GB. */
  readonly memory: number;
  readonly kernel: string;
  readonly deno: string;
  /** Of the contenders' programs, and of those that measure. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Describes the machine; `contenders` are the versions of theirs. */
export async function describeMachine(
  contenders: Readonly<Record<string, string>>,
): Promise<Machine> {
  const processor = /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"));
  return {
    processor: processor?.[1] ?? Deno.build.arch,
    processors: navigator.hardwareConcurrency,
    memory: Math.round(Deno.systemMemoryInfo().total / 1e8) / 10,
    kernel: Deno.osRelease(),
    deno: Deno.version.deno,
    versions: { ...contenders, ...await toolVersions() },
  };
}

/** First lines of what the programs that measure say of themselves. */
async function toolVersions(): Promise<Record<string, string>> {
  const flags: Record<string, string> = {
    "openssl": "version",
    "iperf3": "--version",
    "ping": "-V",
    "nft": "--version",
    "wg": "--version",
    "perf": "--version",
  };
  const versions: Record<string, string> = {};
  for (const [name, flag] of Object.entries(flags)) {
    if (!isInstalled(name)) continue;
    const { stdout } = await run(null, [name, flag]);
    versions[name] = stdout.split("\n")[0]!;
  }
  return { ...versions, ...cipherVersions() };
}

/** Share of the processors in use by others above which nothing measured is worth much. */
const MAX_FOREIGN_LOAD = 0.05;

/** Whether what was measured is no result. */
export function isBusy(foreignLoad: Summary): boolean {
  return foreignLoad.mean > MAX_FOREIGN_LOAD;
}

/** Share of processor time in use during the next `ms`, 0 to 1. */
export async function foreignLoad(ms: number): Promise<number> {
  const before = processorTimes();
  await new Promise((resolve) => setTimeout(resolve, ms));
  const after = processorTimes();
  const total = after.total - before.total;
  return total === 0 ? 0 : 1 - (after.idle - before.idle) / total;
}

function processorTimes(): { idle: number; total: number } {
  const [line] = Deno.readTextFileSync("/proc/stat").split("\n");
  const times = line.trim().split(/\s+/).slice(1).map(Number);
  // user nice system idle iowait irq softirq steal
  const total = times.slice(0, 8).reduce((sum, time) => sum + time, 0);
  return { idle: times[3] + times[4], total };
}
