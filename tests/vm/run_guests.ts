/**
 * Step `vm`: starts emulated machines with kernels of several releases of Debian, one of them an arm64, and runs the
 * built executable in each, at the lowest priority.
 */
import { installPrograms } from "../run/peers.ts";
import { openLog } from "../run/run_log.ts";
import { runStreamed } from "../run/streamed_command.ts";
import type { FailedTest, StepResult } from "../run/steps.ts";
import { addCounts, NO_TESTS } from "../run/test_output.ts";
import { errorMessage } from "../../lib/process/errors.ts";
import { getPackages, guestFolder, type GuestPackages } from "./debian_archive.ts";
import { type GuestImage, makeImage } from "./guest_image.ts";
import { GuestOutput } from "./guest_output.ts";
import { EMULATORS, type Guest, guestName, GUESTS } from "./guests.ts";

const MINUTE = 60_000;
/** Of one guest, on a machine that is busy with other things. */
const GUEST_LIMIT = 40 * MINUTE;
const COMPILE_LIMIT = 10 * MINUTE;
const COMPILE = new URL("../../compile.sh", import.meta.url).pathname;
/** What this takes, each by the Debian package that has it. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-system-aarch64": "qemu-system-arm",
  "apt-get": "apt",
  "dpkg-deb": "dpkg",
  "cpio": "cpio",
  "depmod": "kmod",
  "xz": "xz-utils",
};

type Say = (line: string) => void;

/**
 * Runs all guests, or those that VPN_VM names, as in `VPN_VM="trixie-arm64 bookworm-amd64"`; and in each all tests, or
 * those whose functions in guest.sh VPN_VM_ONLY names, separated by commas.
 */
export async function runGuests(say: Say): Promise<StepResult> {
  const chosen = Deno.env.get("VPN_VM")?.split(/[\s,]+/) ?? null;
  const guests = GUESTS.filter((guest) => chosen === null || chosen.includes(guestName(guest)));
  const missing = await installPrograms(PROGRAMS, "the emulated machines", say);
  if (missing !== null) {
    say(`skipped ${guests.length}: ${missing}`);
    return { counts: { ...NO_TESTS, skipped: guests.length }, note: missing };
  }
  const executables: Executables = new Map();
  const results: StepResult[] = [];
  for (const guest of guests) results.push(await runGuest(guest, executables, say));
  return {
    counts: results.map(({ counts }) => counts).reduce(addCounts, NO_TESTS),
    note: results.map(({ note }) => note).filter((note) => note !== "").join("; "),
    failures: results.flatMap(({ failures = [] }) => failures),
  };
}

/** Our program for each machine, built once; by target. */
type Executables = Map<string, string>;

/** @throws {Error} with the last line of compile.sh */
async function build(guest: Guest, executables: Executables): Promise<string> {
  const { target } = EMULATORS[guest.architecture];
  const built = executables.get(target);
  if (built !== undefined) return built;
  const path = `${guestFolder(guest)}/vpn`;
  let last = "";
  const { code } = await runStreamed({
    program: "nice",
    args: ["-n", "19", COMPILE, "--target", target, "--output", path],
    env: { DENO: Deno.execPath() },
    timeout: COMPILE_LIMIT,
    onLine: (line) => last = line,
  });
  if (code !== 0) throw new Error(last);
  executables.set(target, path);
  return path;
}

async function runGuest(guest: Guest, executables: Executables, say: Say): Promise<StepResult> {
  const name = guestName(guest);
  let packages: GuestPackages;
  let executable: string;
  try {
    say(`${name}: getting its packages, building the executable`);
    executable = await build(guest, executables);
    packages = await getPackages(guest);
  } catch (error) {
    const note = `${name} cannot be had: ${reasonOf(error)}`;
    say(`skipped 1: ${note}`);
    return { counts: { ...NO_TESTS, skipped: 1 }, note };
  }
  // By a fixed name, so that what a killed run leaves is removed by the next.
  const folder = `${guestFolder(guest)}/image`;
  try {
    removeFolder(folder);
    return await emulate(guest, await makeImage(folder, packages, executable), say);
  } catch (error) {
    const note = `${name} cannot be started: ${reasonOf(error)}`;
    say(note);
    return { counts: { ...NO_TESTS, failed: 1 }, note };
  } finally {
    removeFolder(folder);
  }
}

function removeFolder(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function emulate(guest: Guest, image: GuestImage, say: Say): Promise<StepResult> {
  const name = guestName(guest);
  const { command, console } = EMULATORS[guest.architecture];
  const output = new GuestOutput(name);
  using log = openLog(`vm-${name}`);
  const { timedOut } = await runStreamed({
    program: "nice",
    // deno-fmt-ignore
    args: [
      "-n", "19", ...command, "-smp", "2", "-m", "2G", "-no-reboot", "-nic", "none",
      "-display", "none", "-monitor", "none", "-serial", "stdio", "-kernel", image.kernel, "-initrd", image.initramfs,
      "-append", `console=${console} panic=-1 loglevel=2 vpn.only=${Deno.env.get("VPN_VM_ONLY") ?? ""}`,
    ],
    timeout: GUEST_LIMIT,
    onLine(line) {
      log.write(line);
      const shown = output.take(line);
      if (shown !== null) say(shown);
    },
  });
  const failures = output.failures.map((failure): FailedTest => ({
    name: failure,
    file: name,
    log: log.path,
  }));
  const note = timedOut ? `${name} ended after ${GUEST_LIMIT / MINUTE} min` : "";
  return { counts: output.counts, note, failures };
}

/** The first line of apt's or compile.sh's that says what is wrong. */
function reasonOf(error: unknown): string {
  const text = errorMessage(error);
  return /(?<=^|[ \n])E: .*/.exec(text)?.[0] ?? text.split("\n")[0]!;
}
