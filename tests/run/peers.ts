/** Outside programs that tests compare with or look on with, and installing them where that can be done. */
import { isInstalled } from "../support/net.ts";
import { installCiphers, missingCiphers } from "../support/cipher_packages.ts";
import { runStreamed } from "./streamed_command.ts";

/** A program that network tests call, by the Debian package that has it. */
const PACKAGES: Readonly<Record<string, string>> = {
  "wireguard-go": "wireguard-go",
  "wg": "wireguard-tools",
  "iperf3": "iperf3",
  "tcpdump": "tcpdump",
  "tshark": "tshark",
  "nft": "nftables",
  "iptables": "iptables",
  "conntrack": "conntrack",
  "dig": "dnsutils",
  "curl": "curl",
  "ip": "iproute2",
  "ping": "iputils-ping",
  "traceroute": "traceroute",
  "vsftpd": "vsftpd",
  "crun": "crun",
  "runc": "runc",
  "zbarimg": "zbar-tools",
  "rsvg-convert": "librsvg2-bin",
  "chromium": "chromium",
  "nats-server": "nats-server",
  "zsh": "zsh",
};

/** Programs whose package starts them as a service at once, where systemd does that: no test is worth it there. */
const SERVICES: ReadonlySet<string> = new Set(["vsftpd", "nats-server"]);

/** In ms. */
const APT_TIMEOUT = 240_000;
const UPDATE = ["-qq", "update"];
const INSTALL = ["-qq", "--yes", "--no-install-recommends", "install"];

/**
 * Installs ciphers, which are small, and has apt fetch the packages of programs that are missing, a hundred megabytes
 * of them, and change nothing else yet. Whatever goes wrong, `installPeers()` says, or the tests that are left out.
 */
export async function fetchPeers(): Promise<void> {
  const packages = missingPrograms(PACKAGES).map((program) => PACKAGES[program]!);
  const hasCiphers = missingCiphers().length === 0;
  if (packages.length === 0 && hasCiphers || Deno.uid() !== 0 || !isDebian()) return;
  const apt = async (...args: string[]) => (await runApt(args, () => {})).code === 0;
  const isUpdated = await apt(...UPDATE);
  if (!hasCiphers) await installCiphers((name) => apt(...INSTALL, name));
  if (packages.length > 0 && isUpdated) await apt(...INSTALL, "--download-only", ...packages);
}

/**
 * Installs the programs that are missing for the network tests. Failing is no error: the tests that need a missing
 * program are left out and say so.
 *
 * @param say is called with each line for the user
 * @returns what is missing still, and why; null when nothing is
 */
export function installPeers(say: (line: string) => void): Promise<string | null> {
  return installPrograms(PACKAGES, "the network tests", say);
}

/**
 * Installs the programs that are missing, by apt, when root on Debian or one of its kin.
 *
 * @param table programs, each with the Debian package that has it
 * @param user what they are for
 * @param say is called with each line for the user
 * @returns what is missing still, and why; null when nothing is
 */
export async function installPrograms(
  table: Readonly<Record<string, string>>,
  user: string,
  say: (line: string) => void,
): Promise<string | null> {
  const missing = missingPrograms(table);
  if (missing.length === 0) return null;
  const list = missing.join(", ");
  if (Deno.uid() !== 0) return `${list} missing: only root can install them`;
  if (!isDebian()) {
    return `${list} missing: install them by hand, this is neither Debian nor Ubuntu`;
  }
  const packages = missing.map((program) => table[program]!);
  say(`installing by apt, for ${user}: ${packages.join(" ")}`);
  for (const args of [UPDATE, [...INSTALL, ...packages]]) {
    const last: string[] = [];
    const { code, timedOut } = await runApt(args, (line) => {
      last.push(line);
      if (last.length > 5) last.shift();
    });
    if (code === 0) continue;
    last.forEach(say);
    const how = timedOut ? `took over ${APT_TIMEOUT / 60_000} minutes` : "failed";
    return `${list} missing: \`apt-get ${args.slice(0, 2).join(" ")} ...\` ${how}`;
  }
  const still = missingPrograms(table);
  return still.length === 0 ? null : `${still.join(", ")} missing even so`;
}

function runApt(args: readonly string[], onLine: (line: string) => void) {
  return runStreamed({
    program: "apt-get",
    args,
    env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    timeout: APT_TIMEOUT,
    onLine,
  });
}

function missingPrograms(table: Readonly<Record<string, string>>): string[] {
  const startsServices = isSystemd();
  return Object.keys(table).filter((program) =>
    !isInstalled(program) && !(startsServices && SERVICES.has(program))
  );
}

/** By sd_booted(3). */
function isSystemd(): boolean {
  try {
    return Deno.statSync("/run/systemd/system").isDirectory;
  } catch {
    return false;
  }
}

/** By os-release(5). */
function isDebian(): boolean {
  try {
    const release = Deno.readTextFileSync("/etc/os-release");
    return /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m.test(release);
  } catch {
    return false;
  }
}
