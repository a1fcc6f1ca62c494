/** Screen: shows text that changes, in place on a terminal, one text after the other elsewhere. */
import { type TextStream, writeText } from "../../process/output.ts";

/**
 * The other screen, which leaves what was on the terminal as it was (xterm, DECSET 1049), without a cursor (DECTCEM).
 */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
/** To the first column of the first row; erase to the end of the row; erase what is below (ECMA-48 CUP, EL, ED). */
const HOME = "\x1b[H";
const ERASE_REST_OF_ROW = "\x1b[K";
const ERASE_BELOW = "\x1b[J";
/** A row stays one row: no wrapping (DECAWM). */
const NO_WRAP = "\x1b[?7l";
const WRAP = "\x1b[?7h";

/** Fewer are no screen. */
const LEAST_ROWS = 3;

export interface Screen extends Disposable {
  /** Shows these lines and no others. Returns false when nobody can see them any more. */
  show(lines: readonly string[]): boolean;
}

/** A stream that may be a terminal. */
export interface ScreenStream extends TextStream {
  isTerminal(): boolean;
}

/** Begins to show; disposal gives the terminal back. */
export function screenful(stream: ScreenStream): Screen {
  if (!stream.isTerminal()) {
    return {
      show: (lines) => writeText(stream, `${lines.join("\n")}\n\n`),
      [Symbol.dispose]() {},
    };
  }
  writeText(stream, ENTER + NO_WRAP);
  return {
    show(lines) {
      const { rows } = Deno.consoleSize();
      // A terminal that does not know its size says 0.
      const shown = lines.length < rows || rows < LEAST_ROWS
        ? lines
        : [...lines.slice(0, rows - 2), `… and ${lines.length - rows + 2} more lines`];
      const text = shown.map((line) => `${line}${ERASE_REST_OF_ROW}\r\n`).join("");
      return writeText(stream, HOME + text + ERASE_BELOW);
    },
    [Symbol.dispose]() {
      writeText(stream, WRAP + LEAVE);
    },
  };
}
