/** Owns the manual's part about the commands, made from their grammar so that it never lags behind. */
import { formatMessage, type Message } from "@optique/core/message";
import { getDocPageSync } from "@optique/core/parser";
import { createGrammar } from "./grammar.ts";

/** The line of the manual where the commands go. */
const PLACE = '.\\" @COMMANDS@\n';

/**
 * The manual, in mdoc(7).
 *
 * @param frame the manual without its commands
 */
export function manPage(frame: string): string {
  if (!frame.includes(PLACE)) throw new RangeError(`Cannot find ${JSON.stringify(PLACE)}`);
  return frame.replace(PLACE, () => `.Bl -tag -width Ds\n${commandLines([]).join("\n")}\n.El\n`);
}

/** The lines about what a command has beneath it: options, arguments, further commands. */
function commandLines(path: readonly string[]): string[] {
  const page = getDocPageSync(createGrammar(path), path);
  const entries = page?.sections.flatMap((section) => section.entries) ?? [];
  const lines: string[] = [];
  const options: string[] = [];
  for (const { term, description, default: initial } of entries) {
    const text = [sentence(description), initial && `Default: ${plain(initial)}.`];
    if (term.type === "command") {
      lines.push(...subcommandLines([...path, term.name]));
    } else if (term.type === "option") {
      const value = term.metavar === undefined ? "" : ` Ar ${term.metavar}`;
      const names = term.names.map((name) => `Fl ${escape(name.slice(1))}`).join(" , ");
      options.push(`.It ${names}${value}`, ...text.flatMap((each) => each ? escape(each) : []));
    } else if (term.type === "argument") {
      options.push(`.It Ar ${term.metavar}`, ...text.flatMap((each) => each ? escape(each) : []));
    }
  }
  if (options.length === 0) return lines;
  return [...lines, ".Bl -tag -width Ds -compact", ...options, ".El"];
}

function subcommandLines(path: readonly string[]): string[] {
  const page = getDocPageSync(createGrammar(path), path);
  const texts = [page?.brief, page?.description].map(sentence).filter((text) => text !== "");
  const below = commandLines(path);
  const isGroup = below[0]?.startsWith(".It Nm") === true;
  const about = [`.It Nm Cm ${path.join(" ")}`, ...new Set(texts.map(escape))];
  return isGroup ? [...about, ...below] : [...about, ...below];
}

/** With a full stop, and without what is for terminals. */
function sentence(message: Message | undefined): string {
  const text = message === undefined ? "" : plain(message);
  return text === "" || /[.:]$/.test(text) ? text : `${text}.`;
}

function plain(message: Message): string {
  return formatMessage(message, { colors: false, quotes: false }).replace(/\s+/g, " ").trim();
}

/** Text as roff takes it literally: no escapes, no requests, no hyphenation of options (groff_char(7)). */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^(?=[.'])/, "\\&");
}
