/**
 * Rules of the architecture (CONTRIBUTING.md, "Where things are") as a function from a source file to its offences, so that the
 * rules can themselves be tested on made-up files.
 */
import { importsOf, stripSource } from "./source_text.ts";

/**
 * Which rooms of the project a room may import, itself aside. A room is a folder of `lib/` or of `lib/core/`, `ffi`, `main` or
 * `tests`; a name that ends in `/` stands for all below it. A new room needs a row.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  "core/wire": [],
  "core/limits": [],
  "core/noise": ["core/wire"],
  "core/offload": ["core/wire"],
  "core/dns": ["core/limits"],
  "core/nat": ["core/limits", "core/wire"],
  "core/transport": ["core/limits", "core/wire"],
  "core/relay": ["core/engine", "core/limits", "core/transport", "core/wire"],
  "core/wireguard": ["core/limits", "core/noise", "core/transport", "core/wire"],
  "core/capture": ["core/wire", "core/wireguard"],
  "core/config": ["core/noise", "core/wire"],
  "core/peers": ["core/config", "core/wire", "core/wireguard"],
  "core/metrics": ["core/config", "core/transport", "core/wire", "core/wireguard"],
  "core/access": ["core/nat", "core/wire", "core/wireguard"],
  "core/routing": ["core/access", "core/nat", "core/wire", "core/wireguard"],
  "core/engine": [
    "core/access",
    "core/nat",
    "core/offload",
    "core/routing",
    "core/transport",
    "core/wire",
    "core/wireguard",
  ],
  "core/client": ["core/transport"],
  ffi: [],
  cli: ["core/config"],
  process: ["cli", "core/config", "ffi"],
  dataplane: ["core/", "ffi", "process"],
  host: ["core/", "ffi", "process"],
  control: ["core/", "ffi", "process", "cli", "dataplane", "host"],
  services: ["core/", "ffi", "process", "dataplane", "host"],
  commands: ["core/", "ffi", "process", "cli", "dataplane", "host", "control", "services"],
  main: ["cli", "commands", "process"],
};

/** Which modules from outside the project a part may import; a name that ends in `/` stands for all under it. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "core/noise": ["node:crypto", "node:buffer", "@noble/ciphers/", "@noble/hashes/"],
  cli: ["@optique/core", "@optique/core/", "@optique/run", "uqr", "node:zlib"],
  process: ["@logtape/logtape", "node:"],
  dataplane: ["node:"],
  host: ["node:"],
  control: ["node:"],
  services: ["node:"],
  commands: ["@optique/run", "@std/", "node:"],
};

/** Without I/O, as the core is, though it is no part of it. */
const LIKE_THE_CORE = ["cli"];

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

/** The room of the project that a path (from the root, with slashes) belongs to, or null outside of all. */
export function partOf(path: string): string | null {
  if (path === "main.ts") return "main";
  const [top, next, ...rest] = path.split("/");
  if (top === "ffi" || top === "tests") return top;
  if (top !== "lib" || next === undefined || rest.length === 0) return null;
  if (next !== "core") return next;
  return rest.length > 1 ? `core/${rest[0]}` : null;
}

/** Whether a room may see nothing of the world: system calls, the clock, chance. */
function isCore(part: string): boolean {
  return part.startsWith("core/") || LIKE_THE_CORE.includes(part);
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
    ...(isCore(part) ? FORBIDDEN_IN_CORE : []),
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
  const isAllowed = ARROWS[part]!.some((each) =>
    each === targetPart || (each.endsWith("/") && targetPart?.startsWith(each))
  );
  if (targetPart === part || isAllowed) return null;
  return `${part} may not import ${targetPart ?? "what lies outside"} ("${specifier}")`;
}
