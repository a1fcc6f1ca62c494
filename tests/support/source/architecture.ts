/**
 * Rules of the architecture (CONTRIBUTING.md, "Where things are") as a function from a source file to its offences, so
 * that the rules can themselves be tested on made-up files.
 */
import { importsOf, stripSource } from "./source_text.ts";

/**
 * Which rooms of the project a room may import, itself aside: exactly those that it does import. A room is a folder of
 * `lib/` or of `lib/core/`, `lib/console/page`, `ffi`, `main` or `tests`. A new room needs a row.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  "core/wire": [],
  "core/limits": [],
  "core/noise": ["core/wire"],
  "core/offload": ["core/wire"],
  "core/dns": ["core/limits", "core/wire"],
  "core/threads": ["core/limits"],
  "core/nat": ["core/limits", "core/offload", "core/threads", "core/wire"],
  "core/transport": ["core/limits", "core/wire"],
  "core/relay": ["core/engine", "core/limits", "core/transport", "core/wire"],
  "core/wireguard": ["core/limits", "core/noise", "core/threads", "core/transport", "core/wire"],
  "core/capture": ["core/wire", "core/wireguard"],
  "core/config": ["core/limits", "core/noise", "core/wire"],
  "core/fleet": [
    "core/config",
    "core/nat",
    "core/noise",
    "core/peers",
    "core/transport",
    "core/wire",
    "core/wireguard",
  ],
  "core/peers": ["core/access", "core/config", "core/wire", "core/wireguard"],
  "core/metrics": ["core/config", "core/dns", "core/transport", "core/wire", "core/wireguard"],
  "core/flows": ["core/access", "core/wire", "core/wireguard"],
  "core/access": ["core/limits", "core/nat", "core/wire", "core/wireguard"],
  "core/routing": ["core/access", "core/nat", "core/wire", "core/wireguard"],
  "core/engine": [
    "core/access",
    "core/flows",
    "core/limits",
    "core/nat",
    "core/offload",
    "core/routing",
    "core/threads",
    "core/transport",
    "core/wire",
    "core/wireguard",
  ],
  "core/client": ["core/transport", "core/wire"],
  ffi: [],
  cli: ["core/config"],
  process: ["cli", "core/config", "ffi"],
  dataplane: [
    "core/access",
    "core/capture",
    "core/config",
    "core/engine",
    "core/fleet",
    "core/flows",
    "core/limits",
    "core/nat",
    "core/noise",
    "core/offload",
    "core/peers",
    "core/relay",
    "core/routing",
    "core/threads",
    "core/transport",
    "core/wire",
    "core/wireguard",
    "ffi",
    "process",
  ],
  host: [
    "core/access",
    "core/config",
    "core/dns",
    "core/fleet",
    "core/limits",
    "core/nat",
    "core/peers",
    "core/transport",
    "core/wire",
    "core/wireguard",
    "ffi",
    "process",
  ],
  control: [
    "cli",
    "core/access",
    "core/config",
    "core/dns",
    "core/limits",
    "core/peers",
    "core/transport",
    "core/wire",
    "core/wireguard",
    "dataplane",
    "ffi",
    "host",
    "process",
  ],
  services: [
    "core/config",
    "core/dns",
    "core/flows",
    "core/limits",
    "core/metrics",
    "core/nat",
    "core/peers",
    "core/wire",
    "dataplane",
    "ffi",
    "host",
    "process",
  ],
  "console/page": ["control", "core/peers"],
  console: ["control", "core/config", "core/limits", "core/wire", "host", "process"],
  commands: [
    "cli",
    "console",
    "control",
    "core/access",
    "core/capture",
    "core/client",
    "core/config",
    "core/dns",
    "core/fleet",
    "core/nat",
    "core/noise",
    "core/offload",
    "core/peers",
    "core/transport",
    "core/wire",
    "core/wireguard",
    "dataplane",
    "ffi",
    "host",
    "process",
    "services",
  ],
  main: ["cli", "commands", "process"],
};

/**
 * The same between the rooms inside `ffi` and inside `commands`: a folder there, and the files beside the folders, by
 * the name of the whole. Nobody but `main` imports the demo.
 */
const ARROWS_INSIDE: Readonly<Record<string, readonly string[]>> = {
  ffi: [],
  "ffi/crypto": ["ffi"],
  "ffi/netlink": ["ffi"],
  "ffi/netlink/nftables": ["ffi", "ffi/netlink"],
  "ffi/sockets": ["ffi"],
  commands: [],
  "commands/client": ["commands"],
  "commands/demo": ["commands"],
  "commands/doctor": [
    "commands",
    "commands/doctor/firewall",
    "commands/doctor/fleet",
    "commands/status",
  ],
  "commands/doctor/firewall": ["commands/doctor"],
  "commands/doctor/fleet": ["commands/doctor"],
  "commands/fleet": ["commands", "commands/peer", "commands/status"],
  "commands/peer": ["commands"],
  "commands/server": ["commands"],
  "commands/status": ["commands"],
  "commands/up": ["commands", "commands/client", "commands/doctor", "commands/server"],
};

/** Which modules from outside the project a part may import; a name that ends in `/` stands for all under it. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "core/noise": ["node:crypto", "node:buffer", "@noble/ciphers/", "@noble/hashes/"],
  cli: ["@optique/core", "@optique/core/", "@optique/run", "uqr", "node:zlib"],
  process: ["@logtape/logtape", "node:"],
  dataplane: ["node:"],
  host: [
    "@nats-io/jetstream",
    "@nats-io/kv",
    "@nats-io/transport-node",
    "@nats-io/transport-node/",
    "@peculiar/x509",
    "age-encryption",
    "modern-tar",
    "node:",
  ],
  control: ["node:"],
  services: ["node:"],
  "console/page": [
    "@noble/curves/",
    "@preact/signals",
    "@simplewebauthn/browser",
    "preact",
    "preact/",
    "uplot",
    "uplot/",
    "uqr",
  ],
  console: ["@simplewebauthn/server", "hono", "node:", "otpauth"],
  commands: ["@optique/run", "@std/", "node:"],
};

/** Without I/O, as the core is, though it is no part of it. */
const LIKE_THE_CORE = ["cli"];

/**
 * What the core may not name, because time, chance and effects come in as arguments there. Word characters, `$`, `.`
 * and `#` in front make another name of it.
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

const MAX_COMMENT_COLUMNS = 120;

/** The room of the project that a path (from the root, with slashes) belongs to, or null outside of all. */
export function partOf(path: string): string | null {
  if (path === "main.ts") return "main";
  const [top, next, ...rest] = path.split("/");
  if (top === "ffi" || top === "tests") return top;
  if (top !== "lib" || next === undefined || rest.length === 0) return null;
  // What a browser runs is far from what serves it.
  if (next === "console" && rest[0] === "page" && rest.length > 1) return "console/page";
  if (next !== "core") return next;
  return rest.length > 1 ? `core/${rest[0]}` : null;
}

/** The room inside a room: a folder of `ffi` or of `commands`, or either itself for the files beside the folders. */
export function roomInside(path: string): string | null {
  const part = partOf(path);
  if (part !== "ffi" && part !== "commands") return part;
  return path.replace(/^lib\//, "").replace(/\/[^/]*$/, "");
}

/** The arrows of the table that `rooms` have, from and to. */
export function arrows(rooms: ReadonlySet<string | null>): [from: string, to: string][] {
  return Object.entries({ ...ARROWS, ...ARROWS_INSIDE })
    .filter(([from]) => rooms.has(from))
    .flatMap(([from, targets]) => targets.map((to): [string, string] => [from, to]));
}

/** Whether a room may see nothing of the world: system calls, the clock, chance. */
function isCore(part: string): boolean {
  return part.startsWith("core/") || LIKE_THE_CORE.includes(part);
}

/**
 * What is wrong with one source file, a line each, naming file and line where there is one; nothing where all is well.
 */
export function offencesOf(path: string, source: string): string[] {
  const offences = styleOffences(path, source);
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
  if (targetPart !== part) {
    const isAllowed = targetPart !== null && ARROWS[part]!.includes(targetPart);
    if (isAllowed) return null;
    return `${part} may not import ${targetPart ?? "what lies outside"} ("${specifier}")`;
  }
  const [from, to] = [roomInside(path)!, roomInside(target)!];
  if (from === to) return null;
  const row = ARROWS_INSIDE[from];
  if (row === undefined) return `no row in the table of arrows for "${from}"`;
  return row.includes(to) ? null : `${from} may not import ${to} ("${specifier}")`;
}

/** What is wrong with the form of a source file: how it begins, and how long its lines of comment are. */
function styleOffences(path: string, source: string): string[] {
  const offences: string[] = [];
  if (!source.startsWith("/**")) offences.push(`${path}: the first line is no doc comment`);
  if (/^\/\*\*\s*(?:\*\s*)?Owns\b/.test(source)) {
    offences.push(
      `${path}: the first line says what the file does, and does not begin with "Owns"`,
    );
  }
  for (const [index, line] of source.split("\n").entries()) {
    if (line.length <= MAX_COMMENT_COLUMNS || !/^\s*(?:\/\/|\/\*|\*)/.test(line)) continue;
    offences.push(
      `${path}:${index + 1}: the comment is longer than ${MAX_COMMENT_COLUMNS} columns`,
    );
  }
  return offences;
}
