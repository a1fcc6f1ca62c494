/**
 * Reading of TypeScript source as text, for tests that look for words and imports in it.
 *
 * It is a scanner, not a parser. It knows comments, strings, templates with code in them, and regular expressions; it
 * takes a slash for the start of one by what stands before it, and after `)` or `]` always for a division. Of JSX it
 * knows the slashes of tags; texts between tags are code to it, so quotes there have to be typographic ones.
 */

/** Words after which a slash starts a regular expression rather than divides. */
const WORDS_BEFORE_REGEX =
  /(?:^|[^\w$.])(?:return|typeof|case|in|of|delete|void|throw|new|else|do|instanceof|await|yield)$/;

/**
 * The source with every comment blanked, and every string, template text and regular expression emptied between its
 * delimiters. Line ends stay, and so do all positions: what is found here stands at the same place in the source.
 */
export function stripSource(source: string): string {
  let code = "";
  let at = 0;
  /** For each template that code is nested in: how many braces are open within its `${`. */
  const open: number[] = [];

  const keep = (count: number) => {
    code += source.slice(at, at + count);
    at += count;
  };
  const blankTo = (end: number) => {
    code += source.slice(at, end).replace(/[^\r\n]/g, " ");
    at = Math.min(end, source.length);
  };
  /** Blanks up to the first of `ends` that no backslash escapes. */
  const blankUntil = (...ends: string[]) => {
    let end = at;
    while (end < source.length && !ends.some((each) => source.startsWith(each, end))) {
      end += source[end] === "\\" ? 2 : 1;
    }
    blankTo(end);
  };
  /** At the inside of a template: up to its end, or up to and with the next `${`. */
  const template = () => {
    blankUntil("`", "${");
    if (source[at] === "$") {
      keep(2);
      open.push(0);
    } else {
      keep(1);
    }
  };

  while (at < source.length) {
    const char = source[at]!;
    if (source.startsWith("//", at)) {
      const end = source.slice(at).search(/[\r\n]/);
      blankTo(end < 0 ? source.length : at + end);
    } else if (source.startsWith("/*", at)) {
      const end = source.indexOf("*/", at + 2);
      blankTo(end < 0 ? source.length : end + 2);
    } else if (char === "'" || char === '"') {
      keep(1);
      blankUntil(char, "\n");
      keep(1);
    } else if (char === "`") {
      keep(1);
      template();
    } else if (char === "/" && startsRegex(code) && !isOfTag(source, at)) {
      keep(1);
      blankTo(regexEnd(source, at));
      keep(1);
    } else if (char === "}" && open.at(-1) === 0) {
      open.pop();
      keep(1);
      template();
    } else {
      if (open.length > 0 && char === "{") open[open.length - 1]! += 1;
      if (open.length > 0 && char === "}") open[open.length - 1]! -= 1;
      keep(1);
    }
  }
  return code;
}

/** Whether a slash behind `code` starts a regular expression. */
function startsRegex(code: string): boolean {
  const before = code.trimEnd();
  return !/[\w$)\]"'`]$/.test(before) || WORDS_BEFORE_REGEX.test(before);
}

/** Whether a slash is one of JSX, as in `</b>` and in `<b c={d} />`. */
function isOfTag(source: string, at: number): boolean {
  return source[at - 1] === "<" || (source[at + 1] === ">" && /[}"'\s]/.test(source[at - 1]!));
}

/** Where the regular expression whose inside starts at `at` ends: its slash, or the end of the line. */
function regexEnd(source: string, at: number): number {
  let inClass = false;
  for (; at < source.length && source[at] !== "\n"; at++) {
    if (source[at] === "\\") at += 1;
    else if (source[at] === "[") inClass = true;
    else if (source[at] === "]") inClass = false;
    else if (source[at] === "/" && !inClass) break;
  }
  return at;
}

/**
 * The specifiers of all imports in a source, of types, re-exports and `import()` included; null for an `import()`
 * whose specifier is not a plain string.
 *
 * @param stripped what `stripSource` made of it
 */
export function importsOf(source: string, stripped: string): (string | null)[] {
  const found: (string | null)[] = [];
  for (const match of stripped.matchAll(/(?<![\w$.])(?:from|import)\s*(["'])( *)\1/g)) {
    const start = match.index + match[0].length - match[2]!.length - 1;
    found.push(source.slice(start, start + match[2]!.length));
  }
  for (const match of stripped.matchAll(/(?<![\w$.])import\s*\(\s*(?:(["'])( *)\1\s*[,)])?/g)) {
    if (match[1] === undefined) {
      found.push(null);
      continue;
    }
    const start = match.index + match[0].indexOf(match[1]) + 1;
    found.push(source.slice(start, start + match[2]!.length));
  }
  return found;
}
