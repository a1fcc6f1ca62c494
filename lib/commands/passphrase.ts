/** Passphrase: asked for on a terminal, which does not show it, or read from a file. */
import { readAtMost } from "../host/files/bounded_read.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";

/** Characters: a backup has every key of a gateway, and may be tried at without end. */
const SHORTEST = 8;
/** Bytes. */
const LONGEST = 1024;
const [CTRL_C, CTRL_D, BACKSPACE, LINE_FEED, RETURN, DELETE] = [3, 4, 8, 10, 13, 127] as const;

export interface PassphraseRequest {
  /** Null: the terminal is asked. */
  readonly file: string | null;
  /** Whether it is a new one: of some length, and typed twice. */
  readonly isNew: boolean;
}

/** @throws {AppError} `usage` where there is none, or a new one is too short or typed in two ways */
export async function readPassphrase({ file, isNew }: PassphraseRequest): Promise<string> {
  const passphrase = file === null ? await ask("Passphrase: ") : firstLine(file);
  if (passphrase === "") throw refusal("it is empty");
  if (!isNew) return passphrase;
  if ([...passphrase].length < SHORTEST) {
    throw refusal(`it is too short: use at least ${SHORTEST} characters`);
  }
  if (file === null && await ask("Once more: ") !== passphrase) {
    throw refusal("the two are not the same");
  }
  return passphrase;
}

/** The first line of a file, which may be a pipe. */
function firstLine(path: string): string {
  try {
    using file = Deno.openSync(path);
    const [line = ""] = new TextDecoder().decode(readAtMost(file, LONGEST + 1)).split(/\r?\n/, 1);
    if (new TextEncoder().encode(line).length > LONGEST) {
      throw refusal(`the first line of ${path} is longer than ${LONGEST} bytes`);
    }
    return line;
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw refusal(`cannot read ${path}: ${cause instanceof Error ? cause.message : cause}`);
  }
}

/**
 * What is typed on the terminal, up to its end. In raw mode Ctrl-C is a byte, too: a signal would end the process and
 * leave the terminal without an echo.
 */
async function ask(prompt: string): Promise<string> {
  if (!Deno.stdin.isTerminal()) {
    throw refusal("standard input is no terminal: give it with --passphrase-file FILE");
  }
  writeText(Deno.stderr, prompt);
  Deno.stdin.setRaw(true);
  try {
    return new TextDecoder().decode(Uint8Array.from(await typedBytes()));
  } finally {
    Deno.stdin.setRaw(false);
    writeText(Deno.stderr, "\n");
  }
}

async function typedBytes(): Promise<number[]> {
  const typed: number[] = [];
  const byte = new Uint8Array(1);
  while (await Deno.stdin.read(byte) === 1 && typed.length <= LONGEST) {
    const [code = 0] = byte;
    if (code === CTRL_C) throw refusal("interrupted");
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

function refusal(why: string): AppError {
  return new AppError(`Cannot take the passphrase: ${why}`, { exitCode: ExitCode.usage });
}
