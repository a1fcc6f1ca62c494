/**
 * The rule that asynchronous entries go through lib/process/guard.ts, as a function from a source file to its offences.
 * It reads the source as text and knows the project's habits; it is no proof, but what it lets through is caught by the
 * last resort.
 */
import { stripSource } from "./source_text.ts";

/** A handler that only settles a promise cannot throw. */
const SETTLES = /^(?:resolve|reject|\(\w*\) =>\s*(?:resolve|reject)\()/;

interface Entry {
  /** Up to where the handler begins. */
  readonly pattern: RegExp;
}

/** Calls whose handler is the next argument, by their text up to it. */
const ENTRIES: readonly Entry[] = [
  { pattern: /\.(?:on|once|addListener|addEventListener)\(\s*(?:"[^"]*"|\w+),\s*/g },
  { pattern: /(?<![\w.])addEventListener\(\s*"[^"]*",\s*/g },
  { pattern: /\baddSignalListener\([^,]*,\s*/g },
  { pattern: /\.on(?:message|messageerror|error|abort|close)\s*=(?!=)\s*/g },
  { pattern: /\bset(?:Timeout|Interval|Immediate)\(\s*/g },
  { pattern: /\bqueueMicrotask\(\s*/g },
  { pattern: /(?<![\w.])createServer\(\s*(?:\{[^()]*\},\s*)?/g },
  { pattern: /\bDeno\.serve\(\s*(?:\{[^()]*\},\s*)?/g },
];

/**
 * Methods of Node's sockets, not of our classes, with a function among their arguments: it is called when they are
 * done.
 */
const WITH_CALLBACK = /(?<![A-Z]\w*)\.(?:bind|listen|send|connect|write)\((?=[^;]*?=>)/g;

/** What is thrown away: a promise, in this project. */
const DISCARDED = /\bvoid\s+(?:this\b|[\w$#]+[.(])/g;

/** What is wrong with one source file, a line each. */
export function guardOffencesOf(path: string, source: string): string[] {
  const code = stripSource(source);
  const offences: string[] = [];
  const offence = (at: number, what: string) => {
    offences.push(`${path}:${code.slice(0, at).split("\n").length}: ${what}`);
  };
  const names = guardedNames(code);
  for (const { pattern } of ENTRIES) {
    for (const match of source.matchAll(pattern)) {
      // In a comment or a string it is blank.
      if (code[match.index] === " ") continue;
      const handler = code.slice(match.index + match[0].length);
      if (!isGuarded(handler, names)) offence(match.index, "the handler is not guarded");
    }
  }
  for (const match of code.matchAll(WITH_CALLBACK)) {
    const call = callAt(code, match.index + match[0].length);
    if (call.includes("=>") && !call.includes("guarded(")) {
      offence(match.index, "the callback is not guarded");
    }
  }
  for (const match of code.matchAll(DISCARDED)) {
    offence(match.index, "nobody takes its rejection: give it to background()");
  }
  return offences;
}

function isGuarded(handler: string, names: ReadonlySet<string>): boolean {
  if (handler.startsWith("guarded(") || SETTLES.test(handler)) return true;
  return names.has(/^\w+/.exec(handler)?.[0] ?? "");
}

/** Names of constants that are guarded handlers, and of functions that make their parameter one. */
function guardedNames(code: string): Set<string> {
  return new Set(Array.from(code.matchAll(/\bconst (\w+) = guarded\(/g), ([, name]) => name!));
}

/** The text of a call's arguments, from behind its parenthesis. */
function callAt(code: string, start: number): string {
  let depth = 1;
  let at = start;
  for (; at < code.length && depth > 0; at++) {
    if (code[at] === "(") depth++;
    if (code[at] === ")") depth--;
  }
  return code.slice(start, at);
}
