/** References to documents: which documents, and sections of them, the comments of a source file name. */

/** A document that a comment names. */
export interface Reference {
  readonly line: number;
  /** As it is written: from the root of the project, or a name alone. */
  readonly document: string;
  /** The section behind it in quotes; null for the whole document. */
  readonly section: string | null;
}

/**
 * A document's name, and in quotes behind a comma or a colon what is cited of it; a comment's line may end in between.
 */
const REFERENCE = /(?<![\w/.-])((?:[\w.-]+\/)*[\w-]+\.md)\b(?:[,:]\s*(?:\*\s*)?"([^"]+)")?/g;

/** What the comments of a source name. */
export function referencesOf(source: string): Reference[] {
  return [...source.matchAll(/\/\*[^]*?\*\/|(?<=^|\s)\/\/.*$/gm)].flatMap((comment) =>
    [...comment[0].matchAll(REFERENCE)].map((match) => ({
      line: source.slice(0, comment.index + match.index).split("\n").length,
      document: match[1]!,
      section: match[2]?.replace(/\s*\n\s*\*\s*/g, " ") ?? null,
    }))
  );
}

/** The places at which a document may be that a file names: the root, then the file's folder and those above it. */
export function placesOf(document: string, file: string): string[] {
  if (document.includes("/")) return [document];
  const folders = file.split("/").slice(0, -1);
  return [...folders.keys(), folders.length]
    .map((depth) => [...folders.slice(0, depth), document].join("/")).reverse();
}

/** Whether a document in Markdown has a heading. */
export function hasSection(text: string, section: string): boolean {
  return text.split("\n").some((line) => /^#+ /.test(line) && line.replace(/^#+ /, "") === section);
}
