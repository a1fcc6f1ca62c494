/** Hidden input: a line from the terminal, which does not show it. */
import { AppError, ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";

const [CTRL_C, CTRL_D, BACKSPACE, LINE_FEED, RETURN, DELETE] = [3, 4, 8, 10, 13, 127] as const;

/**
 * What is typed on the terminal, or pasted, up to its end. In raw mode Ctrl-C is a byte, too: a signal would end the
 * process and leave the terminal without an echo; and a line may be longer than the 4,095 bytes that a terminal keeps.
 *
 * @param longest bytes that are read at the most, and one more
 * @throws {AppError} `usage` on Ctrl-C
 */
export async function readHidden(prompt: string, longest: number): Promise<string> {
  // Before it asks: what is pasted at once would be shown.
  Deno.stdin.setRaw(true);
  try {
    writeText(Deno.stderr, prompt);
    return new TextDecoder().decode(Uint8Array.from(await typedBytes(longest)));
  } finally {
    Deno.stdin.setRaw(false);
    writeText(Deno.stderr, "\n");
  }
}

async function typedBytes(longest: number): Promise<number[]> {
  const typed: number[] = [];
  const byte = new Uint8Array(1);
  while (await Deno.stdin.read(byte) === 1 && typed.length <= longest) {
    const [code = 0] = byte;
    if (code === CTRL_C) {
      throw new AppError("Interrupted: nothing is done", { exitCode: ExitCode.usage });
    }
    if (code === LINE_FEED || code === RETURN || code === CTRL_D) break;
    if (code === BACKSPACE || code === DELETE) eraseCharacter(typed);
    else typed.push(code);
  }
  return typed;
}

/** In UTF-8, what begins with the bits 10 continues a character. */
function eraseCharacter(typed: number[]): void {
  while (((typed.pop() ?? 0) & 0xc0) === 0x80);
}
