/** Unexpected word: the error text for what may not stand in a command line where it stands. */
import { quoted } from "../core/config/config_error.ts";
import { nearestName } from "../core/config/text/nearest.ts";
import { FLEET_ACTIONS, FLEET_OPTIONS } from "./fleet_grammar.ts";
import { PEER_ACTIONS, PEER_OPTIONS } from "./peer_grammar.ts";

/**
 * The error for an unexpected word, with the nearest known word.
 *
 * @param argv the arguments that it is one of
 * @param commands all that may stand first
 */
export function unexpectedWord(
  token: string,
  { argv, commands, optionsOf }: {
    argv: readonly string[];
    commands: readonly string[];
    optionsOf: (command: string) => readonly string[];
  },
): string {
  const [first = ""] = argv;
  const isOption = token.startsWith("-");
  if (!commands.includes(first)) {
    return isOption
      ? `unknown option ${withSuggestion(token, ["--help", "--version"], "vpn --help")}`
      : `unknown command ${withSuggestion(token, commands, "vpn --help")}`;
  }
  const [, action = ""] = argv;
  if (first === "peer" && !PEER_ACTIONS.includes(action)) {
    return `"vpn peer" has no action ${withSuggestion(token, PEER_ACTIONS, "vpn peer --help")}`;
  }
  if (first === "fleet" && !FLEET_ACTIONS.includes(action)) {
    return `"vpn fleet" has no action ${withSuggestion(token, FLEET_ACTIONS, "vpn fleet --help")}`;
  }
  const hasActions = first === "peer" || first === "fleet";
  const name = hasActions ? `vpn ${first} ${action}` : `vpn ${first}`;
  if (!isOption) return `"${name}" takes no argument ${quoted(token)}`;
  const own = first === "fleet"
    ? FLEET_OPTIONS[action]!
    : first === "peer"
    ? PEER_OPTIONS[action]!
    : optionsOf(first);
  const help = `${name} --help`;
  if (own.includes(token)) return `${quoted(token)} comes after the action: see "${help}"`;
  return `"${name}" has no option ${withSuggestion(token, [...own, "--help"], help)}`;
}

function withSuggestion(word: string, known: readonly string[], help: string): string {
  const nearest = nearestName(word, known);
  return `${quoted(word)}: ${
    nearest === undefined ? `see "${help}"` : `did you mean "${nearest}"?`
  }`;
}
