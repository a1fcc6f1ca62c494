/**
 * Owns the rules of the architecture (spec/architecture.md, "Arrows point one way") as a function from a source file to
 * its offences, so that the rules can themselves be tested on made-up files.
 */
import { importsOf, stripSource } from "./source_text.ts";

/**
 * Which parts of the project a part may import, itself aside. A part is a folder of `lib/`, a file straight in `lib/` by
 * its name, `ffi`, `main` or `tests`. A new part needs a row.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  version: [],
  drop_log: ["wire"],
  line_budget: [],
  fair_shares: [],
  noise: ["wire"],
  offload: ["wire"],
  nat: ["wire", "fair_shares"],
  carrier: ["wire", "fair_shares"],
  dns: ["wire", "fair_shares"],
  tunnel: ["wire", "noise", "fair_shares"],
  capture: ["wire", "tunnel"],
  config: ["wire", "noise"],
  cli: ["config", "version"],
  metrics: ["wire", "tunnel", "config"],
  egress_rules: ["wire", "tunnel"],
  router: ["wire", "tunnel", "egress_rules"],
  path_advice: ["wire", "nat"],
  inbound_flows: ["wire", "nat"],
  pipeline: [
    "wire",
    "tunnel",
    "router",
    "offload",
    "nat",
    "drop_log",
    "path_advice",
    "inbound_flows",
  ],
  ffi: [],
  app: [
    "wire",
    "version",
    "drop_log",
    "line_budget",
    "fair_shares",
    "noise",
    "offload",
    "nat",
    "carrier",
    "dns",
    "tunnel",
    "capture",
    "config",
    "cli",
    "metrics",
    "egress_rules",
    "router",
    "pipeline",
    "ffi",
  ],
  main: ["app", "cli", "config", "version"],
};

/** Which modules from outside the project a part may import; a name that ends in `/` stands for all under it. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  noise: ["node:crypto", "node:buffer", "@noble/ciphers/", "@noble/hashes/"],
  cli: ["@optique/core", "@optique/core/", "@optique/run", "uqr", "node:zlib"],
  app: ["@logtape/logtape", "@optique/run", "@std/", "node:"],
};

/** Parts that may see the world: system calls, the clock, chance. All others are the core. */
const OUTSIDE_THE_CORE = ["ffi", "app", "main"];

/**
 * What the core may not name, because time, chance and effects come in as arguments there. Word characters, `$`, `.` and
 * `#` in front make another name of it.
 */
const FORBIDDEN_IN_CORE: readonly RegExp[] = [
  /(?<![\w$.#])(?:Deno|Date|Temporal|globalThis)\b/g,
  /(?<![\w$.#])(?:performance|console|process|navigator|crypto)\b(?=\s*(?:\?\.|\.|\[))/g,
  /(?<![\w$.#])(?:setTimeout|setInterval|setImmediate|queueMicrotask|fetch|Worker|WebSocket)\b/g,
  /(?<![\w$.#])Math\s*\.\s*random\b/g,
  /\b(?:getRandomValues|randomBytes|randomFill|randomFillSync|randomInt|randomUUID)\b/g,
  /\b(?:generateKey|generateKeySync|generateKeyPair|generateKeyPairSync)\b/g,
];

/** What only `main.ts` may name; tests run in processes of their own and are free. */
const EXITS = /(?<![\w$.#])(?:Deno|process)\s*\.\s*exit(?:Code)?\b/g;

/** The part of the project that a path (from the root, with slashes) belongs to, or null outside of all. */
export function partOf(path: string): string | null {
  if (path === "main.ts") return "main";
  const [top, next, ...rest] = path.split("/");
  if (top === "ffi" || top === "tests") return top;
  if (top !== "lib" || next === undefined) return null;
  return rest.length > 0 ? next : next.replace(/\.ts$/, "");
}

/** What is wrong with one source file, a line each, naming file and line where there is one; nothing where all is well. */
export function offencesOf(path: string, source: string): string[] {
  const offences: string[] = [];
  if (!source.startsWith("/**")) offences.push(`${path}: the first line is no doc comment`);
  const part = partOf(path);
  if (part === "tests") return offences;
  if (part === null || ARROWS[part] === undefined) {
    return [...offences, `${path}: no row in the table of arrows for "${part}"`];
  }
  const stripped = stripSource(source);
  for (const specifier of importsOf(source, stripped)) {
    const offence = importOffence(path, part, specifier);
    if (offence !== null) offences.push(`${path}: ${offence}`);
  }
  const forbidden = [
    ...(OUTSIDE_THE_CORE.includes(part) ? [] : FORBIDDEN_IN_CORE),
    ...(part === "main" ? [] : [EXITS]),
  ];
  for (const match of forbidden.flatMap((pattern) => [...stripped.matchAll(pattern)])) {
    const line = stripped.slice(0, match.index).split("\n").length;
    offences.push(`${path}:${line}: ${part} may not name ${match[0].replace(/\s/g, "")}`);
  }
  return offences;
}

function importOffence(path: string, part: string, specifier: string | null): string | null {
  if (specifier === null) return "an import() of what is not a plain string cannot be checked";
  if (!/^\.{0,2}\//.test(specifier)) {
    const allowed = PACKAGES[part] ?? [];
    const isAllowed = allowed.some((each) =>
      specifier === each || (/[/:]$/.test(each) && specifier.startsWith(each))
    );
    return isAllowed ? null : `${part} may not import the package "${specifier}"`;
  }
  const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
  const targetPart = partOf(target);
  if (targetPart === part || ARROWS[part]!.includes(targetPart ?? "")) return null;
  return `${part} may not import ${targetPart ?? "what lies outside"} ("${specifier}")`;
}
