/** Owns the checks of the configuration itself: that it can be read, by whom, its keys, and the clock against its date. */
import { encodeKey } from "../../config/key_text.ts";
import { constantTimeEqual } from "../../noise/constant_time.ts";
import { checkUnheeded } from "../unheeded.ts";
import { planRoutes, routeWarnings } from "../route_plan.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import type { Subject } from "./subject.ts";

const DAY = 86_400_000;
/** ms; what a file system, a time zone set wrong in an archive, or a second machine may be off. */
const TOLERANCE = DAY;
/** No clock that is right shows less: it is before the first release. */
const EARLIEST = Date.UTC(2026, 0, 1);

export const CONFIG_CHECKS: readonly Check[] = [
  { name: "configuration", look: checkConfiguration },
  { name: "file-mode", look: checkFileMode },
  { name: "keys", look: checkKeys },
  { name: "clock", look: checkClock },
];

function checkConfiguration(subject: Subject): Verdict[] {
  const { problem, config, client, role } = subject;
  if (problem !== null) return [fail(problem.message, "correct that line, or that file's name")];
  if (config === null) return [];
  const routing = client === null ? [] : routeWarnings(client, planRoutes(client));
  // Those about a line; the one about the file's mode has a check of its own.
  const warnings = [...config.warnings, ...checkUnheeded(config), ...routing]
    .filter((warning) => /:\d+: /.test(warning));
  if (warnings.length > 0) {
    return warnings.map((warning) => warn(warning, "take the line out, or leave it as it is"));
  }
  return [ok(`${config.fileName} is right, for a ${role}`)];
}

function checkFileMode({ options: { configPath } }: Subject): Verdict[] {
  if (configPath === null) return [];
  const mode = modeOf(configPath);
  if (mode === null) return [];
  if ((mode & 0o077) === 0) return [ok("nobody but its owner can read the private key")];
  const bits = (mode & 0o777).toString(8).padStart(4, "0");
  return [warn(
    `others can read or write ${configPath} (mode ${bits}), and whoever has the key is you`,
    `\`chmod 600 ${configPath}\``,
  )];
}

function checkKeys({ config }: Subject): Verdict[] {
  if (config === null) return [];
  const { publicKey } = config.interface;
  const own = encodeKey(publicKey);
  const verdicts = config.peers
    .filter((peer) => constantTimeEqual(peer.publicKey, publicKey))
    .map((peer) =>
      fail(
        `${config.fileName}:${peer.line}: the peer's PublicKey is this side's own, ${own}: ` +
          "nobody shakes hands with himself",
        "put the other side's public key there: `vpn pubkey` prints it there from its private key",
      )
    );
  if (verdicts.length > 0) return verdicts;
  return [ok(`this side's public key is ${own}: that is what the other side must have`)];
}

/**
 * Each handshake carries the time (TAI64N), and a server takes none that is not later than the last: a clock that was right
 * once and is behind now shuts its host out.
 */
function checkClock({ options: { configPath } }: Subject): Verdict[] {
  const now = Date.now();
  const remedy = "`timedatectl set-ntp true`, or `date -s` with the right time";
  const shown = new Date(now).toISOString().slice(0, 16).replace("T", " ");
  const written = configPath === null ? null : timeOf(configPath);
  const refused = "a server refuses handshakes older than one it has seen";
  if (now < EARLIEST) {
    return [fail(`the clock shows ${shown} UTC, in the past: ${refused}`, remedy)];
  }
  if (written !== null && written - now > TOLERANCE) {
    const days = Math.round((written - now) / DAY);
    return [warn(
      `the clock shows ${shown} UTC, but ${configPath} was written ${days} days later: ${refused}`,
      remedy,
    )];
  }
  return [ok(`the clock shows ${shown} UTC`)];
}

/** The permission bits of a regular file; null for others, and for none. */
function modeOf(path: string): number | null {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return isFile ? mode : null;
  } catch {
    return null;
  }
}

/** When a file was written, Unix ms; null for none. */
function timeOf(path: string): number | null {
  try {
    return Deno.statSync(path).mtime?.getTime() ?? null;
  } catch {
    return null;
  }
}
