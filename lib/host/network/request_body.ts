/** Request body: takes what comes behind an HTTP request's headers, of which a stranger may send anything. */
import type { IncomingMessage } from "node:http";
import { CollectedBytes } from "../../core/limits/collected_bytes.ts";
import { guarded } from "../../process/guard.ts";

/**
 * Pieces that a body may come in. Each costs some us of the thread, however short it is: who sends single bytes without
 * end, on hundreds of connections, leaves no time for anybody else.
 */
const MAX_PIECES = 1_024;

export type RequestBody = Uint8Array<ArrayBuffer> | "too-large" | "gone";

/**
 * All of a request's body. To be called as soon as the request is there, also where the body is not wanted: of one that
 * nobody takes, node:http keeps an object for each chunk that has come, which may be of one byte each.
 *
 * @param limit bytes; what is longer is taken and dropped, until who is served closes the connection; over 1,024 pieces
 *   close it by themselves
 */
export function requestBody(message: IncomingMessage, limit: number): Promise<RequestBody> {
  const { promise, resolve } = Promise.withResolvers<RequestBody>();
  const body = new CollectedBytes(limit);
  let pieces = 0;
  let isTooLarge = Number(message.headers["content-length"] ?? 0) > limit;
  if (isTooLarge) resolve("too-large");
  message.on(
    "data",
    guarded("control", "reading a request", (chunk: Uint8Array) => {
      if (++pieces > MAX_PIECES) {
        message.destroy();
        return;
      }
      if (isTooLarge || body.add(chunk)) return;
      isTooLarge = true;
      body.take();
      resolve("too-large");
    }),
  );
  // Before a stream was read once, it keeps what comes until the next turn: of each of a thousand connections 64 KB,
  // which are ten thousand chunks and 6 MB.
  message.read(0);
  message.once("end", () => resolve(body.take()));
  message.once("close", () => resolve("gone"));
  message.once("error", () => resolve("gone"));
  return promise;
}
