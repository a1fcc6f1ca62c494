/** Man page: the part about the commands, made from their grammar so that it never lags behind. */
import type { DocEntry, DocSection } from "@optique/core/doc";
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

/** The lines about what a command has beneath it: further commands, or options and arguments. */
function commandLines(path: readonly string[]): string[] {
  const page = getDocPageSync(createGrammar(path), path);
  const commands: string[] = [];
  const options: string[] = [];
  for (const { term, description, default: initial } of page?.sections.flatMap(entriesOf) ?? []) {
    const about = [
      ...textLines(description),
      ...(initial === undefined ? [] : [`Default: ${escape(plain(initial))}.`]),
    ];
    if (term.type === "command") {
      commands.push(...aboutCommand([...path, term.name], page?.description));
    } else if (term.type === "option") {
      const value = term.metavar === undefined ? "" : ` Ar ${term.metavar}`;
      const names = term.names.map((name) => `Fl ${escape(name.slice(1))}`).join(" , ");
      options.push(`.It ${names}${value}`, ...about);
    } else if (term.type === "argument") {
      options.push(`.It Ar ${term.metavar}`, ...about);
    }
  }
  if (options.length === 0) return commands;
  return [...commands, ".Bl -tag -width Ds -compact", ...options, ".El"];
}

function entriesOf({ entries }: DocSection): readonly DocEntry[] {
  return entries;
}

/** @param inherited the description of the command above, which one without its own is given */
function aboutCommand(path: readonly string[], inherited: Message | undefined): string[] {
  const page = getDocPageSync(createGrammar(path), path);
  const above = textLines(inherited).join("\n");
  const description = textLines(page?.description);
  return [
    `.It Nm Cm ${path.join(" ")}`,
    ...textLines(page?.brief),
    ...(description.join("\n") === above ? [] : description),
    ...commandLines(path),
  ];
}

/** Each sentence begins a line, as roff wants it, and ends with a full stop. */
function textLines(message: Message | undefined): string[] {
  const text = message === undefined ? "" : plain(message);
  if (text === "") return [];
  return (/[.:]$/.test(text) ? text : `${text}.`).split(/(?<=\.) (?=[A-Z"])/).flatMap(folded);
}

function folded(sentence: string): string[] {
  return (sentence.match(/\S(?:.{0,68}\S)?(?= |$)/g) ?? []).map(escape);
}

/** Without what is for terminals. */
function plain(message: Message): string {
  return formatMessage(message, { colors: false, quotes: false }).replace(/\s+/g, " ").trim();
}

/** Text as roff takes it literally: no escapes, no requests, no hyphen for a minus (groff_char(7)). */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^(?=[.'])/, "\\&");
}
