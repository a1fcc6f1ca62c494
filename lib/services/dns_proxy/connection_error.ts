/** Connection errors: what a network, the other end, or the end of the exchange makes of a connection. */

/** Whether it is one of those, and so no fault of this program. */
export function isConnectionError(error: unknown): boolean {
  if (error instanceof DOMException && error.name === "AbortError") return true;
  if (error instanceof Deno.errors.Interrupted) return true;
  return error instanceof Error && ("code" in error || error.name in Deno.errors);
}
