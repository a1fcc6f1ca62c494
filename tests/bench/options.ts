/** Command line of the bench. */
import { parseArgs } from "node:util";

/** What can be asked for by itself: contenders and groups of figures. */
export const CONTENDERS = [
  "vpn",
  "faketcp",
  "boringssl",
  "libcrypto",
  "builtin",
  "wireguard-go",
  "wireguard-go-installed",
  "nebula",
  "openvpn",
  "mixed",
] as const;
export const SECTIONS = [
  "tcp",
  "nat",
  "udp",
  "ping",
  "handshakes",
  "storm",
  "memory",
  "start",
  "peers",
  "gateway",
  "families",
  "fleet-of-one",
  "profile",
] as const;

export type ContenderKey = (typeof CONTENDERS)[number];
export type Section = (typeof SECTIONS)[number];

export interface BenchOptions {
  readonly rounds: number;
  /** Of one TCP measurement. */
  readonly seconds: number;
  readonly contenders: readonly ContenderKey[];
  readonly sections: readonly Section[];
  readonly json: string;
  /** A compiled `vpn` to measure in the place of the sources; null for those. */
  readonly program: string | null;
  readonly quick: boolean;
}

export const USAGE = `Usage: deno task bench [OPTION]...

Measures this project beside the newest wireguard-go, an installed one, nebula and OpenVPN, in
network namespaces of its own. Needs root. The newest of each is fetched into a cache and not
installed; \`deno task bench:fetch\` looks for newer ones.

  --rounds N      Rounds, in each of which every contender has its turn (3; 1 with --quick)
  --seconds N     Seconds of each TCP measurement (2; 1 with --quick)
  --only NAME...  Only these.
                  Contenders: ${CONTENDERS.join(", ")}
                  Figures: ${SECTIONS.join(", ")}
  --quick         One short round: a look, not a result
  --program FILE  Measure this compiled vpn, not the sources
  --json FILE     Where the results go as JSON (.bench/bench.json)
  --help          Print this
`;

/**
 * Reads the command line; null where help is asked for.
 *
 * @throws {Error} in words for the user
 */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string", multiple: true },
      quick: { type: "boolean", default: false },
      program: { type: "string" },
      json: { type: "string", default: ".bench/bench.json" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  if (values.only === undefined && positionals.length > 0) {
    throw new Error(`Cannot use "${positionals[0]}": see --help`);
  }
  const names = [...values.only ?? [], ...positionals].flatMap((list) => list.split(","));
  const unknown = names.find((name) => !isOneOf(CONTENDERS, name) && !isOneOf(SECTIONS, name));
  if (unknown !== undefined) {
    const known = [...CONTENDERS, ...SECTIONS].join(", ");
    throw new Error(`Cannot use --only "${unknown}": it is one of ${known}`);
  }
  const { quick } = values;
  return {
    rounds: positiveNumber("rounds", values.rounds, quick ? 1 : 3),
    seconds: positiveNumber("seconds", values.seconds, quick ? 1 : 2),
    contenders: chosen(CONTENDERS, names),
    sections: chosen(SECTIONS, names),
    json: values.json,
    program: values.program ?? null,
    quick,
  };
}

/** Those that were named, or all where none was. */
function chosen<Name extends string>(all: readonly Name[], names: readonly string[]): Name[] {
  const named = all.filter((name) => names.includes(name));
  return named.length === 0 ? [...all] : named;
}

function isOneOf<Name extends string>(all: readonly Name[], name: string): name is Name {
  return all.some((one) => one === name);
}

function positiveNumber(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9][0-9]{0,2}$/.test(text)) {
    throw new Error(`Cannot use --${option} "${text}": it is a number from 1 to 999`);
  }
  return Number(text);
}
