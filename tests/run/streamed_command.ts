/** Program that a step runs: its lines as they come, its exit code, and its end when it takes too long. */
import { errorMessage } from "../../lib/process/errors.ts";

/** Between SIGTERM and SIGKILL, in ms. */
const GRACE = 5_000;

export interface StreamedCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** In ms. */
  readonly timeout: number;
  /** Is called with each line of standard output and standard error, without its newline. */
  readonly onLine: (line: string) => void;
}

/** How it ended. */
export interface CommandEnd {
  readonly code: number;
  readonly timedOut: boolean;
}

/**
 * Runs a program from the root of the project, without standard input. A program that cannot be started has code 127.
 */
export async function runStreamed(command: StreamedCommand): Promise<CommandEnd> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(command.program, {
      args: [...command.args],
      cwd: new URL("../../", import.meta.url),
      env: { NO_COLOR: "1", ...command.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    command.onLine(errorMessage(error));
    return { code: 127, timedOut: false };
  }
  let timedOut = false;
  const timers = [
    setTimeout(() => {
      timedOut = true;
      child.kill("SIGTERM");
    }, command.timeout),
    setTimeout(() => child.kill("SIGKILL"), command.timeout + GRACE),
  ];
  const reading = [child.stdout, child.stderr].map((stream) => readLines(stream, command.onLine));
  const { code } = await child.status;
  timers.forEach(clearTimeout);
  // What the program itself wrote is read by then; a child that outlives it may keep the pipes open for ever.
  await Promise.race([Promise.all(reading), rest(1_000)]);
  return { code, timedOut };
}

async function readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<void> {
  let partial = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (partial + text).split("\n");
    partial = lines.pop() ?? "";
    lines.forEach(onLine);
  }
  if (partial !== "") onLine(partial);
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    Deno.unrefTimer(setTimeout(resolve, milliseconds));
  });
}
