/**
 * The habit of wg-quick(8) by which a file holds no private key: a command sets it, as in
 * `PostUp = wg set %i private-key <(pass show vpn/%i)`. Our handshake comes before any command, so where the key comes from is
 * read out of the command.
 */

const MAX_LENGTH = 4096;

/** Where a command takes the private key from. */
export interface KeySource {
  /** A shell command that prints the key. */
  readonly script: string;
  /** Whether the command does nothing else. */
  readonly isAll: boolean;
}

/**
 * Where `command` takes the private key of this interface from, or `null` where it sets none.
 *
 * @param command with `%i` replaced
 */
export function keySource(command: string, interfaceName: string): KeySource | null {
  // Another user's file must not keep who reads it busy for minutes.
  if (command.length > MAX_LENGTH) return null;
  const name = interfaceName.replace(/[.+]/g, "\\$&");
  const set = new RegExp(
    `(?<before>^|[;&|(]\\s*|\\s)(?:/\\S*/)?wg\\s+set\\s+(["']?)${name}\\2\\s(?<more>[^;&|<>]*\\s|)private-key\\s+`,
  ).exec(command);
  if (set === null) return null;
  const { before, more } = set.groups!;
  const from = set.index + set[0].length;
  const argument = /^<\(/.test(command.slice(from))
    ? substitutionAt(command, from)
    : /^(?:[^\s;&|<>()"']|"[^"]*"|'[^']*')+/.exec(command.slice(from))?.[0] ?? null;
  if (argument === null) return null;
  const start = command.slice(0, set.index + before!.length);
  const isLast = more!.trim() === "" && /^[\s;]*$/.test(command.slice(from + argument.length));
  if (argument !== "/dev/stdin") {
    return { script: `cat -- ${argument}`, isAll: isLast && start.trim() === "" };
  }
  // What is on the other side of the pipe, where that is all.
  const source = /^([^;&|]+(?:\|[^;&|]+)*)\|\s*$/.exec(start)?.[1];
  return source === undefined || !isLast ? null : { script: source, isAll: true };
}

/** The `<(…)` that begins there; null where it does not end. */
function substitutionAt(command: string, from: number): string | null {
  let depth = 0;
  for (const { 0: part, index } of command.slice(from).matchAll(/"[^"]*"|'[^']*'|[()]/g)) {
    if (part === "(") depth++;
    if (part !== ")" || --depth > 0) continue;
    return command.slice(from, from + index + 1);
  }
  return null;
}
