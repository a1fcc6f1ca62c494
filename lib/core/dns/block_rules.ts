/**
 * Block rules: what a line of a block list says, be it of a hosts file (`0.0.0.0 ads.example`), of a list of domains
 * (`ads.example`), or in AdBlock's manner (`||ads.example^`, `@@||good.example^`).
 */
import { BlockRule } from "./block_list.ts";

export interface NameRule {
  readonly name: string;
  readonly rule: BlockRule;
}

/** Characters; the longest name with what may stand around it is far shorter. */
const MAX_LINE = 1_024;
const MAX_NAME = 253;
/** Of those who are blocked by leading nowhere. */
const NOWHERE: ReadonlySet<string> = new Set(["0.0.0.0", "127.0.0.1", "0", "::", "::1"]);
const LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const NAME = new RegExp(`^(?:${LABEL}\\.)*${LABEL}$`);
const ADBLOCK = /^(@@)?\|\|(?:\*\.)?([^\s^/$|*]+)\^(?:\$important)?$/;

/**
 * What a line says; null where it cannot be told, or is about something else than names. An empty line and a comment
 * say nothing.
 */
export function blockRules(line: string): readonly NameRule[] | null {
  if (line.length > MAX_LINE) return null;
  const text = line.trim().toLowerCase();
  if (text === "" || text.startsWith("#") || text.startsWith("!") || text.startsWith("[")) {
    return [];
  }
  if (text.startsWith("||") || text.startsWith("@@")) return adblockRule(text);
  // Without a blank before it, `##` is a rule for what a page shows.
  const words = text.replace(/\s#.*$/, "").split(/\s+/);
  const isHosts = NOWHERE.has(words[0]!);
  if (!isHosts && words.length > 1) return null;
  if (!isHosts && words[0]!.startsWith("*.")) return ruleOf(words[0]!.slice(2), BlockRule.domain);
  const rules: NameRule[] = [];
  for (const word of isHosts ? words.slice(1) : words) {
    const rule = ruleOf(word, BlockRule.host);
    if (rule === null) return null;
    // A hosts file has the names of the host itself as well: `localhost`, `ip6-loopback`, `0.0.0.0`.
    rules.push(...rule.filter(({ name }) => name.includes(".") && !/\.\d+$/.test(name)));
  }
  return rules;
}

function adblockRule(text: string): readonly NameRule[] | null {
  const [, isAllowed, name] = ADBLOCK.exec(text) ?? [];
  if (name === undefined) return null;
  return ruleOf(name, isAllowed === undefined ? BlockRule.domain : BlockRule.allowed);
}

function ruleOf(text: string, rule: BlockRule): NameRule[] | null {
  const name = text.replace(/\.$/, "");
  return name.length <= MAX_NAME && NAME.test(name) ? [{ name, rule }] : null;
}
