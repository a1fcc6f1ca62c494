/**
 * Completion: what the grammar says of names that only the host knows, and how each shell is told.
 *
 * A parser of values knows no names of peers or interfaces, so it suggests a placeholder; where the suggestions are
 * written for the shell, the names take its place.
 */
import { bash, fish, type ShellCompletion, zsh } from "@optique/core/completion";
import type { Suggestion } from "@optique/core/parser";

/**
 * Kinds of names that the host knows: TUN devices of what runs, network namespaces, peers of the gateway that is meant,
 * the same with its groups, configurations in `/etc/vpn`.
 */
export type NameKind = "interface" | "netns" | "peer" | "peers" | "config";

/** The names of the host, so far as they were asked for. */
export type KnownNames = Readonly<Partial<Record<NameKind, readonly string[]>>>;

/** Before a placeholder's kind, and between it and what has been typed of the name: no argument of a process has it. */
const MARK = "\0";

/** Suggests the names of a kind that begin with `prefix`. */
export function* suggestNames(kind: NameKind, prefix: string): Generator<Suggestion> {
  yield { kind: "literal", text: `${MARK}${kind}${MARK}${prefix}` };
}

/** How the shells are told, by their names. */
export function shellsWith(names: KnownNames): Record<string, ShellCompletion> {
  return {
    bash: withNames(bash, names),
    // Its script reads a suggestion from each line; the others' have the ends of lines among their pieces.
    zsh: withNames(zsh, names, "\n"),
    fish: withNames(fish, names),
  };
}

function withNames(shell: ShellCompletion, names: KnownNames, end = ""): ShellCompletion {
  return {
    name: shell.name,
    generateScript: (program, args) => shell.generateScript(program, args),
    *encodeSuggestions(suggestions) {
      const expanded = suggestions.flatMap((suggestion) => named(suggestion, names));
      for (const piece of shell.encodeSuggestions(expanded)) yield piece + end;
    },
  };
}

/** The suggestions that a placeholder stands for, or the one that is none. */
function named(suggestion: Suggestion, names: KnownNames): Suggestion[] {
  if (suggestion.kind !== "literal" || !suggestion.text.includes(MARK)) return [suggestion];
  // Before it, the option's name, as in `--interface=vp`.
  const [before = "", kind = "", prefix = ""] = suggestion.text.split(MARK);
  return (names[kind as NameKind] ?? [])
    .filter((name) => name.startsWith(prefix))
    .map((name) => ({ kind: "literal", text: `${before}${name}` }));
}
