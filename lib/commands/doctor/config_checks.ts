/**
 * Checks of the configuration itself: that it can be read, by which users, its keys, and the clock against its date.
 */
import { atOnce } from "../../core/config/at_once.ts";
import type { Config, PeerConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { constantTimeEqual } from "../../core/noise/constant_time.ts";
import { deadRules } from "../../core/peers/dead_rules.ts";
import { formatIpv4, prefixMask } from "../../core/wire/ipv4_text.ts";
import { planRoutes, routeWarnings } from "../../host/network/route_plan.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import type { Subject } from "./subject.ts";

const DAY = 86_400_000;
/** ms; what a file system, a time zone set wrong in an archive, or a second machine may be off. */
const TOLERANCE = DAY;
/** No clock that is right shows less: it is before the first release. */
const EARLIEST = Date.UTC(2026, 0, 1);
/** What the protocol takes for a preshared key where there is none. */
const NO_KEY = new Uint8Array(32);

export const CONFIG_CHECKS: readonly Check[] = [
  { name: "configuration", look: checkConfiguration },
  { name: "access-rules", look: checkAccessRules },
  { name: "file-mode", look: checkFileMode },
  { name: "keys", look: checkKeys },
  { name: "clock", look: checkClock },
];

function checkConfiguration(subject: Subject): Verdict[] {
  const { problem, config, client, role } = subject;
  if (problem !== null) {
    return [fail(problem.message, "correct that line, or the name of the file")];
  }
  if (config === null) return [];
  const routing = client === null ? [] : routeWarnings(client, planRoutes(client));
  // Those about a line; the one about the file's mode has a check of its own.
  const warnings = [...config.warnings, ...routing]
    .filter((warning) => /:\d+: /.test(warning));
  if (warnings.length > 0) {
    return warnings.map((warning) => warn(warning, "remove the line, or ignore this warning"));
  }
  return [ok(`${config.fileName} is a valid configuration for a ${role}`)];
}

function checkAccessRules({ config, role }: Subject): Verdict[] {
  if (config === null || role !== "server") return [];
  const count = [...config.peers, ...config.groups]
    .reduce((sum, { allow, deny }) => sum + allow.length + deny.length, 0);
  if (count === 0) return [];
  const dead = atOnce(deadRules(config));
  if (dead.length === 0) return [ok(`each of ${count} access rules can decide about packets`)];
  return dead.map(({ line, rule, why }) =>
    warn(
      `${config.fileName}:${line}: ${rule} can never decide about a packet: ${why}`,
      "correct the rule, or remove it",
    )
  );
}

function checkFileMode({ options: { configPath } }: Subject): Verdict[] {
  if (configPath === null) return [];
  const mode = modeOf(configPath);
  if (mode === null) return [];
  if ((mode & 0o077) === 0) return [ok("only the owner can read the private key")];
  const bits = (mode & 0o777).toString(8).padStart(4, "0");
  return [warn(
    `other users can read or write ${configPath} (mode ${bits}); anybody with the key can connect in your place`,
    `\`chmod 600 ${configPath}\``,
  )];
}

function checkKeys(subject: Subject): Verdict[] {
  const { config } = subject;
  if (config === null) return [];
  const own = encodeKey(config.interface.publicKey);
  try {
    const other = subject.other();
    if (other !== null) return compareSides(subject, { config, other });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [fail(error.message, "correct that line, or the file that --other-config names")];
  }
  return [ok(`this side's public key is ${own}: the other side must have this key`)];
}

/** What both sides must say alike, or of each other. */
function compareSides(
  { role }: Subject,
  { config, other }: { readonly config: Config; readonly other: Config },
): Verdict[] {
  const here = config.interface;
  const there = other.interface;
  const ours = config.peers.find((peer) => constantTimeEqual(peer.publicKey, there.publicKey));
  const theirs = other.peers.find((peer) => constantTimeEqual(peer.publicKey, here.publicKey));
  const verdicts: Verdict[] = [];
  for (
    const [known, knower, owner] of [[ours, config, other], [theirs, other, config]] as const
  ) {
    if (known !== undefined) continue;
    const key = encodeKey(owner.interface.publicKey);
    verdicts.push(fail(
      `no [Peer] of ${knower.fileName} has the public key of ${owner.fileName}, ${key}`,
      `\`PublicKey = ${key}\` in its [Peer] of ${knower.fileName}`,
    ));
  }
  if (ours === undefined || theirs === undefined) return verdicts;
  if (!constantTimeEqual(ours.presharedKey ?? NO_KEY, theirs.presharedKey ?? NO_KEY)) {
    verdicts.push(fail(
      `the preshared keys differ (${config.fileName}:${ours.line}, ${other.fileName}:${theirs.line})`,
      "set the same PresharedKey (from `vpn genpsk`) in both files, or none",
    ));
  }
  verdicts.push(
    ...role === "client"
      ? strangers(config, { known: theirs, by: other })
      : strangers(other, { known: ours, by: config }),
  );
  if (verdicts.length > 0) return verdicts;
  return [ok(`${config.fileName} and ${other.fileName} know each other, and their keys match`)];
}

/** Addresses of a client that its gateway takes no packets from, and sends none to. */
function strangers(
  { interface: { addresses }, fileName }: Config,
  { known, by }: { readonly known: PeerConfig; readonly by: Config },
): Verdict[] {
  return addresses
    .filter(({ address }) =>
      !known.allowedIps.some((network) =>
        ((network.address ^ address) & prefixMask(network.prefixLength)) === 0
      )
    )
    .map(({ address }) =>
      fail(
        `AllowedIPs at ${by.fileName}:${known.line} do not have ${formatIpv4(address)}, ` +
          `the Address of ${fileName}: its packets are dropped`,
        `add ${formatIpv4(address)}/32 to AllowedIPs there`,
      )
    );
}

/**
 * Each handshake carries the time (TAI64N), and a server takes none that is not later than the last: a clock that was
 * right once and is behind now shuts its host out.
 */
function checkClock({ options: { configPath } }: Subject): Verdict[] {
  const now = Date.now();
  const remedy = "`timedatectl set-ntp true`, or set the correct time with `date -s`";
  const shown = new Date(now).toISOString().slice(0, 16).replace("T", " ");
  const written = configPath === null ? null : timeOf(configPath);
  const refused = "a server refuses handshakes older than the last one it has seen";
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
