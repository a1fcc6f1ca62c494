/**
 * The habit of wg-quick(8) by which a file holds no key: a command sets it, as in `PostUp = wg set %i private-key
 * <(pass show vpn/%i)`, and the same with `peer KEY preshared-key`. Our handshake comes before any command, so where a
 * key comes from is read out of the command.
 */
import { decodeKey, encodeKey } from "./key_text.ts";

const MAX_LENGTH = 4096;
/** Commands of one line that are looked at. */
const MAX_SETS = 16;

/** Where a command takes a key from. */
export interface KeySource {
  /** The public key, as text, of the peer whose preshared key it is; null for the private key of the interface. */
  readonly peer: string | null;
  /** A shell command that prints the key. */
  readonly script: string;
  /** Whether the command does nothing but set keys. */
  readonly isAll: boolean;
}

/**
 * Where `command` takes the keys of this interface and of its peers from.
 *
 * @param command with `%i` replaced
 */
export function keySources(command: string, interfaceName: string): readonly KeySource[] {
  // Another user's file must not keep who reads it busy for minutes.
  if (command.length > MAX_LENGTH) return [];
  const name = interfaceName.replace(/[.+]/g, "\\$&");
  const set = new RegExp(
    `(?<before>^|[;&|(]\\s*|\\s)(?:/\\S*/)?wg\\s+set\\s+(["']?)${name}\\2\\s+`,
    "g",
  );
  return command.matchAll(set).take(MAX_SETS).toArray().flatMap((match) => {
    const start = command.slice(0, match.index + match.groups!["before"]!.length);
    const { words, end } = wordsAt(command, match.index + match[0].length);
    return sourcesIn(words, { start, rest: command.slice(end) });
  });
}

/** What the arguments of one `wg set` say, given what stands before and behind the command. */
function sourcesIn(
  words: readonly string[],
  { start, rest }: { readonly start: string; readonly rest: string },
): KeySource[] {
  const found: { peer: string | null; argument: string }[] = [];
  let peer: string | null = null;
  let others = 0;
  for (let at = 0; at + 1 < words.length; at += 2) {
    const [key, argument] = [words[at]!, words[at + 1]!];
    if (key === "private-key") found.push({ peer: null, argument });
    else if (key === "peer") peer = peerKey(argument);
    else if (key === "preshared-key" && peer !== null) found.push({ peer, argument });
    else others++;
    // It has no value.
    if (key === "remove") at--;
  }
  const isLast = others === 0 && words.length % 2 === 0 && /^[\s;]*$/.test(rest);
  return found.flatMap(({ peer, argument }): KeySource[] => {
    if (argument !== "/dev/stdin") {
      return [{ peer, script: `cat -- ${argument}`, isAll: isLast && start.trim() === "" }];
    }
    // What is on the other side of the pipe, where that is all.
    const source = /^([^;&|]+(?:\|[^;&|]+)*)\|\s*$/.exec(start)?.[1];
    return source === undefined || !isLast ? [] : [{ peer, script: source, isAll: true }];
  });
}

/** The words that begin there, up to where the shell begins another command. */
function wordsAt(
  command: string,
  from: number,
): { readonly words: string[]; readonly end: number } {
  const words: string[] = [];
  let at = from;
  for (;;) {
    at += /^\s*/.exec(command.slice(at))![0].length;
    const word = command.startsWith("<(", at)
      ? substitutionAt(command, at)
      : /^(?:[^\s;&|<>()"']|"[^"]*"|'[^']*')+/.exec(command.slice(at))?.[0] ?? null;
    if (word === null) return { words, end: at };
    words.push(word);
    at += word.length;
  }
}

/** The key that a word is, as text; null where it is known to the shell alone. */
function peerKey(word: string): string | null {
  const key = decodeKey(/^(["']?)(.*)\1$/.exec(word)?.[2] ?? "");
  return key === null ? null : encodeKey(key);
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
