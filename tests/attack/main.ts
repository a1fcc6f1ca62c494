/**
 * `deno task attack [--quick] [NAME...]`: attacks a gateway and its clients in namespaces of this machine, each attack
 * bounded in time and packets, and prints what held. Needs root and `/dev/net/tun`.
 */
import { errorMessage } from "../../lib/process/errors.ts";
import { writeText } from "../../lib/process/output.ts";
import { apart } from "../support/apart.ts";
import { isInstalled, missingPrerequisite, Topology } from "../support/net.ts";
import type { Attack, Outcome } from "./attack.ts";
import { CLOSED_ATTACKS } from "./closed.ts";
import { CRASH_ATTACKS } from "./crash.ts";
import { EGRESS_ATTACKS } from "./egress.ts";
import { EXHAUST_ATTACKS } from "./exhaust.ts";
import { FLEET_ATTACKS } from "./fleet.ts";
import { FLEET_FLOOD_ATTACKS } from "./fleet_flood.ts";
import { IPV6_ATTACKS } from "./ipv6.ts";
import { SERVICE_ATTACKS } from "./services.ts";
import { STEER_ATTACKS } from "./steer.ts";
import { TABLE_ATTACKS } from "./tables.ts";

const ATTACKS: readonly Attack[] = [
  ...CRASH_ATTACKS,
  ...TABLE_ATTACKS,
  ...EXHAUST_ATTACKS,
  ...SERVICE_ATTACKS,
  ...STEER_ATTACKS,
  ...CLOSED_ATTACKS,
  ...EGRESS_ATTACKS,
  ...IPV6_ATTACKS,
  ...FLEET_ATTACKS,
  ...FLEET_FLOOD_ATTACKS,
];

/** Of one attack, its set-up and end included. */
const TIME_LIMIT_MS = 300_000;
/** How much of their length the attacks of a quick run have. */
const QUICK = 0.1;
/** Says that the run-time folders are its own already. */
const APART = "--apart";
const SHORT = "--quick";

interface Row {
  readonly attack: Attack;
  readonly outcome: Outcome;
  readonly seconds: number;
}

function print(line: string): void {
  writeText(Deno.stdout, `${line}\n`);
}

async function attempt(attack: Attack, scale: number): Promise<Outcome> {
  const missing = (attack.programs ?? []).filter((program) => !isInstalled(program));
  if (missing.length > 0) return { held: false, figure: `not run: no ${missing.join(", ")} here` };
  await using topology = new Topology();
  const { promise, reject } = Promise.withResolvers<never>();
  const { timeLimitMs = TIME_LIMIT_MS } = attack;
  const limit = setTimeout(
    () => reject(new Error(`not finished within ${timeLimitMs / 1000} s`)),
    timeLimitMs,
  );
  try {
    return await Promise.race([attack.run(topology, scale), promise]);
  } catch (error) {
    const [first = ""] = errorMessage(error).split("\n");
    return { held: false, figure: `failed: ${first.slice(0, 160)}` };
  } finally {
    clearTimeout(limit);
  }
}

function report(rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ attack }) => attack.title.length));
  print(`\n${"attacker".padEnd(10)} ${"attack".padEnd(width)} held  figure`);
  for (const { attack, outcome } of rows) {
    const held = outcome.held ? "yes " : "NO  ";
    print(`${attack.attacker.padEnd(10)} ${attack.title.padEnd(width)} ${held}  ${outcome.figure}`);
  }
}

/**
 * Runs this again with run-time folders of its own: other instances on this machine are not attacked, nor in the way.
 */
async function runApart(args: readonly string[]): Promise<number> {
  const self = new URL(import.meta.url).pathname;
  const [program, ...rest] = apart([
    ...[Deno.execPath(), "run", "--quiet", "--allow-all", self, APART],
    ...args,
  ]);
  const { code } = await new Deno.Command(program!, { args: rest }).spawn().status;
  return code;
}

function usage(): void {
  print("Usage: deno task attack [--quick] [NAME...]\n\nThe attacks are:");
  for (const { name, title } of ATTACKS) print(`  ${name.padEnd(18)} ${title}`);
}

function isKnown(arg: string): boolean {
  return arg === SHORT || arg === APART || ATTACKS.some(({ name }) => name === arg);
}

async function main(args: readonly string[]): Promise<number> {
  const isHelp = args.includes("--help");
  const unknown = args.find((arg) => !isKnown(arg));
  if (isHelp || unknown !== undefined) {
    if (!isHelp) print(`There is no attack and no option "${unknown}".\n`);
    usage();
    return isHelp ? 0 : 2;
  }
  const missing = missingPrerequisite();
  if (missing !== null) {
    print(`Cannot attack: ${missing}`);
    return 5;
  }
  const names = args.filter((arg) => !arg.startsWith("--"));
  if (!args.includes(APART)) return await runApart(args);
  const scale = args.includes(SHORT) ? QUICK : 1;
  const rows: Row[] = [];
  for (const attack of ATTACKS) {
    if (names.length > 0 && !names.includes(attack.name)) continue;
    const start = performance.now();
    const outcome = await attempt(attack, scale);
    const seconds = Math.round((performance.now() - start) / 1000);
    rows.push({ attack, outcome, seconds });
    print(
      `${outcome.held ? "held" : "NOT HELD"}: ${attack.name} (${seconds} s): ${outcome.figure}`,
    );
  }
  report(rows);
  const failed = rows.filter(({ outcome }) => !outcome.held).length;
  print(`\n${rows.length - failed} held, ${failed} did not`);
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
