/** Passphrase: asked for on a terminal, which does not show it, or read from a file. */
import { readStart } from "../host/files/bounded_read.ts";
import { AppError, errorMessage, ExitCode } from "../process/errors.ts";
import { readHidden } from "./hidden_input.ts";

/** Characters: a backup has every key of a gateway, and may be tried at without end. */
const SHORTEST = 8;
/** Bytes. */
const LONGEST = 1024;

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
    const [line = ""] = new TextDecoder().decode(readStart(path, LONGEST + 1)).split(/\r?\n/, 1);
    if (new TextEncoder().encode(line).length > LONGEST) {
      throw refusal(`the first line of ${path} is longer than ${LONGEST} bytes`);
    }
    return line;
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw refusal(`cannot read ${path}: ${errorMessage(cause)}`);
  }
}

async function ask(prompt: string): Promise<string> {
  if (!Deno.stdin.isTerminal()) {
    throw refusal("standard input is no terminal: give it with --passphrase-file FILE");
  }
  return await readHidden(prompt, LONGEST);
}

function refusal(why: string): AppError {
  return new AppError(`Cannot take the passphrase: ${why}`, { exitCode: ExitCode.usage });
}
