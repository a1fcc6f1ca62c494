/** Report of `vpn demo` on standard output: a line for each step, and the count at the end. */
import { format as formatBytes } from "@std/fmt/bytes.js";
import { errorMessage, ExitCode } from "../../process/errors.ts";
import { type TextStream, writeText } from "../../process/output.ts";

/** Columns of a step's name and of its outcome; with time and rate a line is 80 wide. */
const NAME_WIDTH = 25;
const OUTCOME_WIDTH = 29;
const TIME_WIDTH = 7;

const RED = 31;
const GREEN = 32;
const GREY = 90;
/** Back to the first column, and the line erased (ECMA-48 EL). */
const ERASE_LINE = "\r\x1b[2K";

/** How a step that has passed came out. */
export interface Outcome {
  /** A few words. */
  readonly text: string;
  /** ms, where it is not the time that the step took. */
  readonly time?: number;
  /** Bits per second, of a transfer. */
  readonly rate?: number;
}

export interface ReportOptions {
  readonly colour: boolean;
  /** Show a step while it runs and overwrite that with its outcome. */
  readonly showRunning: boolean;
}

/** Ends the whole demo when a step throws it, rather than failing that step. */
export class Interruption extends Error {
  override readonly name = "Interruption";
}

export class DemoReport {
  readonly #stream: TextStream;
  readonly #options: ReportOptions;
  #passed = 0;
  #failed = 0;

  constructor(stream: TextStream, options: ReportOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /** A line above the steps. */
  heading(text: string): void {
    this.#write(`${text}\n\n`);
  }

  /**
   * Runs a step, times it and prints its line.
   *
   * @returns whether it has passed
   * @throws {Interruption} when the step does
   */
  async step(name: string, run: () => Promise<Outcome>): Promise<boolean> {
    if (this.#options.showRunning) this.#write(this.#paint(GREY, `  … ${name}`));
    const startedAt = performance.now();
    try {
      const { text, time = performance.now() - startedAt, rate } = await run();
      this.#passed++;
      const columns = [
        `${this.#paint(GREEN, "✓")} ${name.padEnd(NAME_WIDTH)}`,
        text.padEnd(OUTCOME_WIDTH),
        formatTime(time).padStart(TIME_WIDTH),
      ];
      this.#line(rate === undefined ? columns : [...columns, ` ${formatRate(rate)}`]);
      return true;
    } catch (error) {
      if (error instanceof Interruption) {
        if (this.#options.showRunning) this.#write(ERASE_LINE);
        throw error;
      }
      this.#failed++;
      const message = errorMessage(error);
      this.#line([
        `${this.#paint(RED, "✗")} ${name.padEnd(NAME_WIDTH)}`,
        this.#paint(RED, message),
      ]);
      return false;
    }
  }

  /** Prints the line of a step that makes no sense any more; it counts as neither passed nor failed. */
  skip(name: string): void {
    this.#write(`  ${this.#paint(GREY, `- ${name.padEnd(NAME_WIDTH)} not run`)}\n`);
  }

  /** Prints the count and returns the exit code. */
  finish(): ExitCode {
    const code = this.#failed === 0 ? ExitCode.ok : ExitCode.unexpected;
    const count = `${this.#passed} passed, ${this.#failed} failed`;
    this.#write(`\n${this.#paint(code === ExitCode.ok ? GREEN : RED, count)}\n`);
    return code;
  }

  #line(columns: readonly string[]): void {
    this.#write(`${this.#options.showRunning ? ERASE_LINE : ""}  ${columns.join(" ")}\n`);
  }

  #paint(colour: number, text: string): string {
    return this.#options.colour ? `\x1b[${colour}m${text}\x1b[0m` : text;
  }

  #write(text: string): void {
    writeText(this.#stream, text);
  }
}

/** As in `0.31 ms`, `12 ms`, `1.24 s`. */
export function formatTime(time: number): string {
  if (time >= 1000) return `${(time / 1000).toFixed(2)} s`;
  return `${time.toFixed(time < 10 ? 2 : 0)} ms`;
}

/** As in `940 Mbit/s`, `2.35 Gbit/s`; of bits per second. */
export function formatRate(rate: number): string {
  const text: string = formatBytes(rate, { bits: true });
  return `${text}/s`;
}
