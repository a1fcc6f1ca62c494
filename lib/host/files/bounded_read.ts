/** Bounded read: the bytes of an open file, up to a limit, whatever its size says and in whatever parts they come. */

/** @param limit bytes; to tell a file that is longer, give one more than is allowed */
export function readAtMost(
  file: Pick<Deno.FsFile, "readSync">,
  limit: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(limit);
  let length = 0;
  for (let read: number | null = 0; read !== null && length < limit;) {
    read = file.readSync(bytes.subarray(length));
    length += read ?? 0;
  }
  return bytes.subarray(0, length);
}
