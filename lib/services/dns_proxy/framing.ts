/** Framing of DNS over TCP: each message behind its two-byte length (RFC 1035 section 4.2.2). */

/** What a frame is read from: a connection of Deno's. */
export interface FrameSource {
  read(buffer: Uint8Array): Promise<number | null>;
}

/** What a frame is written to. */
export interface FrameSink {
  write(bytes: Uint8Array): Promise<number>;
}

/**
 * Reads a message.
 *
 * @param limit bytes; for one that says it is longer the result is null, as at the end of the connection
 * @param onStart is called when the first byte of the message has come
 */
export async function readFramed(
  source: FrameSource,
  limit: number,
  onStart: () => void = () => {},
): Promise<Uint8Array | null> {
  const prefix = new Uint8Array(2);
  const first = await source.read(prefix);
  if (first === null) return null;
  onStart();
  if (first < prefix.length && !await readFully(source, prefix.subarray(first))) return null;
  const size = prefix[0]! << 8 | prefix[1]!;
  if (size > limit) return null;
  const message = new Uint8Array(size);
  return await readFully(source, message) ? message : null;
}

/** Writes a message. */
export async function writeFramed(sink: FrameSink, message: Uint8Array): Promise<void> {
  const framed = new Uint8Array(2 + message.length);
  new DataView(framed.buffer).setUint16(0, message.length);
  framed.set(message, 2);
  for (let written = 0; written < framed.length;) {
    written += await sink.write(framed.subarray(written));
  }
}

/** Closes what may be closed already. */
export function closeQuietly(connection: { close(): void }): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

async function readFully(source: FrameSource, bytes: Uint8Array): Promise<boolean> {
  for (let have = 0; have < bytes.length;) {
    const count = await source.read(bytes.subarray(have));
    if (count === null) return false;
    have += count;
  }
  return true;
}
