/** Owns QR codes in a terminal. */
import { encode } from "uqr";

/** Light modules around a code that its reader needs (ISO/IEC 18004 section 9.1). */
const QUIET_ZONE = 4;

/** Black on white in the colour cube of 256, which no theme of a terminal changes. */
const BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m";
const RESET = "\x1b[0m";

/**
 * The code of `text` in lines of half blocks: two modules above each other in a character, which is about as high as two
 * of its widths.
 *
 * @param colour whether escape sequences may say what is dark and what is light. Without them, light modules are drawn:
 *   right where the text is light on dark, as in most terminals; where it is not, most readers take the inverted code too
 * @throws {RangeError} where the text is too long for any code: 2,953 bytes
 */
export function qrCode(text: string, { colour }: { colour: boolean }): string[] {
  // The least correction gives the coarsest code: a screen is not scratched, but read from afar.
  const { data } = encode(text, { ecc: "L", border: QUIET_ZONE });
  const lines: string[] = [];
  for (let row = 0; row < data.length; row += 2) {
    const upper = data[row]!;
    const lower = data[row + 1] ?? [];
    const blocks = upper.map((dark, column) =>
      halfBlocks(dark === colour, (lower[column] ?? false) === colour)
    ).join("");
    lines.push(colour ? `${BLACK_ON_WHITE}${blocks}${RESET}` : blocks);
  }
  return lines;
}

/** A character with its halves in the text's colour or not. */
function halfBlocks(upper: boolean, lower: boolean): string {
  if (upper) return lower ? "█" : "▀";
  return lower ? "▄" : " ";
}
