/** Closing what may be closed already: by the other end, by disposal, or by the reader. */

/** Closes a connection or a listener; one that is closed already is left alone. */
export function closeQuietly(resource: { close(): void }): void {
  try {
    resource.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
