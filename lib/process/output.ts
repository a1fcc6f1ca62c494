/** Output: writes text to the process's standard streams. */

/** A standard stream, as Deno has it. */
export interface TextStream {
  writeSync(bytes: Uint8Array): number;
}

/**
 * Writes all of `text`.
 *
 * @returns false when nobody reads the stream any more (`vpn help | head -1`, a closed terminal) or it cannot take more
 *   now: the rest is lost, which is no reason to fail
 */
export function writeText(stream: TextStream, text: string): boolean {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let written = 0; written < bytes.length;) {
      written += stream.writeSync(bytes.subarray(written));
    }
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.WouldBlock) {
      return false;
    }
    // A terminal that was closed.
    if (error instanceof Error && "code" in error && error.code === "EIO") return false;
    throw error;
  }
}

/** Whether `stream` takes colours: a terminal, with NO_COLOR (https://no-color.org) unset or empty. */
export function takesColour(stream: { isTerminal(): boolean }): boolean {
  return stream.isTerminal() && !Deno.env.get("NO_COLOR") && Deno.env.get("TERM") !== "dumb";
}
