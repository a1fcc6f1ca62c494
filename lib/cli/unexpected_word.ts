/** Unexpected word: the error texts for what may not stand in a command line where it stands, or is left out there. */
import { extractOptionNames, type Usage } from "@optique/core/usage";
import { quoted } from "../core/config/config_error.ts";
import { nearestName } from "../core/config/text/nearest.ts";

/**
 * The error for an unexpected word, with the nearest known word.
 *
 * @param argv the arguments that it is one of
 * @param commands all that may stand first
 */
export function unexpectedWord(
  token: string,
  { argv, commands, usageOf }: {
    argv: readonly string[];
    commands: readonly string[];
    usageOf: (command: string) => Usage;
  },
): string {
  const [first = "", action = ""] = argv;
  const isOption = token.startsWith("-") && !isBehindTerminator(token, argv);
  if (!commands.includes(first)) {
    return isOption
      ? `unknown option ${withSuggestion(token, ["--help", "--version"], "vpn --help")}`
      : `unknown command ${withSuggestion(token, commands, "vpn --help")}`;
  }
  const usage = usageOf(first);
  const actions = actionsIn(usage);
  const ofAction = actions.get(action);
  if (actions.size > 0 && ofAction === undefined) {
    const help = `vpn ${first} --help`;
    if (isOption && extractOptionNames(usage).has(token)) {
      return `${quoted(token)} comes after the action: see "${help}"`;
    }
    return `"vpn ${first}" has no action ${withSuggestion(token, [...actions.keys()], help)}`;
  }
  const name = actions.size > 0 ? `vpn ${first} ${action}` : `vpn ${first}`;
  // The parser takes \`vpn version\` with nothing behind it, and else finds fault with its name.
  if (token === first) return `"${name}" takes no argument ${quoted(action)}`;
  if (!isOption) return `"${name}" takes no argument ${quoted(token)}`;
  const known = [...extractOptionNames(ofAction ?? usage), "--help"];
  return `"${name}" has no option ${withSuggestion(token, known, `${name} --help`)}`;
}

/** The error for a command whose action is left out; null where it has none. */
export function missingAction(usage: Usage): string | null {
  const names = [...actionsIn(usage).keys()];
  if (names.length === 0) return null;
  return `no action given: use ${names.length === 1 ? "" : "one of "}${names.join(", ")}`;
}

/** Whether "--" stands before a word: what follows that is an argument, whatever it begins with. */
function isBehindTerminator(token: string, argv: readonly string[]): boolean {
  return argv.slice(0, Math.max(0, argv.indexOf(token))).includes("--");
}

/** The actions of a command, with what may stand behind each; none where it has none. */
function actionsIn([, ...terms]: Usage): Map<string, Usage> {
  const actions = new Map<string, Usage>();
  const visit = (usage: Usage) => {
    for (const [index, term] of usage.entries()) {
      if (term.type === "command") actions.set(term.name, usage.slice(index + 1));
      if (term.type === "exclusive") term.terms.forEach(visit);
    }
  };
  visit(terms);
  return actions;
}

function withSuggestion(word: string, known: readonly string[], help: string): string {
  const nearest = nearestName(word, known);
  return `${quoted(word)}: ${
    nearest === undefined ? `see "${help}"` : `did you mean "${nearest}"?`
  }`;
}
