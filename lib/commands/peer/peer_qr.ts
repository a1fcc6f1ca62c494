/** The QR code of a client's configuration, which the WireGuard apps scan: in the terminal, or in a file. */
import {
  MAX_QR_SIZE,
  QR_IMAGES,
  qrCode,
  qrImage,
  type TerminalSize,
  whyNotShown,
} from "../../cli/qr.ts";
import { createKeyFile } from "../../host/files/config_store.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { takesColour, writeText } from "../../process/output.ts";
import { shellWord } from "../../process/shell_word.ts";

export interface CodeRequest {
  /** What the client is called. */
  readonly title: string;
  /** Its configuration. */
  readonly text: string;
  /** Where the code goes; null for the terminal. */
  readonly file: string | null;
  /** Whether the file may take the place of another. */
  readonly overwrite: boolean;
}

/** @throws {AppError} where the code cannot be shown whole, or written */
export function showCode(request: CodeRequest): void {
  const { title, text, file } = request;
  const size = new TextEncoder().encode(text).length;
  if (size > MAX_QR_SIZE) {
    throw refusal(
      title,
      `its configuration has ${size} bytes, a code ${MAX_QR_SIZE} at most: ` +
        "shorten AllowedIPs, or take it to the client as a file",
    );
  }
  if (file === null) showInTerminal(request);
  else writeImage(file, request);
}

function showInTerminal({ title, text }: CodeRequest): void {
  const problem = whyNotShown(qrCode(text, { colour: false }), terminalSize());
  if (problem !== null) {
    throw refusal(
      title,
      `${problem}: enlarge the terminal, use a smaller font, or write a file: ` +
        `\`vpn peer show ${shellWord(title)} --qr FILE.png\``,
    );
  }
  const lines = qrCode(text, { colour: takesColour(Deno.stdout) });
  writeText(Deno.stdout, `${lines.join("\n")}\n`);
}

/** Null where standard output is no terminal. */
function terminalSize(): TerminalSize | null {
  if (!Deno.stdout.isTerminal()) return null;
  try {
    return Deno.consoleSize();
  } catch {
    // A serial line, say.
    return { columns: 0, rows: 0 };
  }
}

function writeImage(path: string, { title, text, overwrite }: CodeRequest): void {
  const image = QR_IMAGES.find((each) => path.toLowerCase().endsWith(`.${each}`));
  if (image === undefined) throw refusal(title, `"${path}" does not end in .png or .svg`);
  createKeyFile({ path, content: qrImage(text, image), overwrite });
  writeText(
    Deno.stdout,
    `QR code with the configuration of ${title}, private key included: ${path}\n` +
      "Delete it after scanning: anybody who sees it can connect as this client.\n",
  );
}

function refusal(title: string, problem: string): AppError {
  return new AppError(`Cannot show ${title} as a QR code: ${problem}`, {
    exitCode: ExitCode.usage,
  });
}
