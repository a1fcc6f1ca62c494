/**
 * Hostile text: lines from a grammar's tokens, right ones, nearly right ones and noise, from a seeded random sequence.
 */
import type { Random } from "../random.ts";

/** What the lines of a text protocol are made of. */
export interface Grammar {
  /** What stands before the separator. */
  readonly keys: readonly string[];
  readonly separator: string;
  /** What stands behind it: values that are right somewhere, and their neighbours. */
  readonly values: readonly string[];
}

/** Characters that parsers trip over: ends of lines and strings, signs, quotes, a lone surrogate, controls. */
const ODD = ["\n", "\r", "\0", "=", "-", "+", " ", "\t", '"', "\\", "{", "}", "[", "]", ":", "/"]
  .concat(["\u0085", "\u2028", "\ud800", "\u{1f600}", "é", "%", "$&", "../", "0x", "1e9", "NaN"]);

/** A line of the grammar, with a change in one of three. */
export function hostileLine(random: Random, { keys, separator, values }: Grammar): string {
  const line = `${random.pick(keys)}${separator}${random.pick(values)}`;
  return random.chance(0.33) ? mutateText(random, line) : line;
}

/** A text with some of its characters removed, doubled, or replaced by odd ones. */
export function mutateText(random: Random, text: string, changes = 3): string {
  let changed = text;
  for (let i = random.between(1, changes); i > 0; i--) {
    const at = random.below(changed.length + 1);
    const end = Math.min(changed.length, at + random.below(6));
    const insert = random.chance(0.5)
      ? random.pick(ODD)
      : changed.slice(at, end).repeat(random.below(4));
    changed = changed.slice(0, at) + insert + changed.slice(random.chance(0.5) ? at : end);
  }
  return changed;
}
