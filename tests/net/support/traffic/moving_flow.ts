/** A TCP flow that something happens to in its midst, counted by what arrives rather than by the clock. */
import type { TestNamespace } from "../../../support/net.ts";
import { eventually } from "../../../support/time/patience.ts";

/** Programs that a test with such a flow needs. */
export const MOVING_FLOW_PROGRAMS: readonly string[] = ["curl"];

const PORT = 8081;
/** Bytes that arrive before the change. */
const BEFORE = 1_000_000;
/** Bytes that arrive after it: more than what the buffers of both ends held then. */
const AFTER = 30_000_000;

/**
 * Sends without end from one namespace to the other, makes the change once data arrives, and resolves when much more
 * has arrived by the same connection.
 *
 * @param address of the receiver, as the sender sees it
 * @throws {Error} when nothing arrives any more
 */
export async function flowAcross(
  from: TestNamespace,
  to: TestNamespace,
  address: string,
  change: () => Promise<void>,
): Promise<void> {
  let arrived = 0;
  let connections = 0;
  const aborter = new AbortController();
  const receive = async (request: Request): Promise<Response> => {
    connections++;
    for await (const chunk of request.body ?? []) arrived += chunk.length;
    return new Response();
  };
  const service = to.inside(() =>
    Deno.serve({
      hostname: address,
      port: PORT,
      signal: aborter.signal,
      onListen: () => {},
      // The sender is ended in the midst of its request.
      onError: () => new Response(null, { status: 500 }),
    }, receive)
  );
  try {
    const upload = 'exec curl --silent --show-error --upload-file - "$1" </dev/zero';
    await using sender = from.spawn(["sh", "-c", upload, "sh", `http://${address}:${PORT}/`]);
    const arrive = (bytes: number) =>
      eventually(() => arrived >= bytes || null, {
        what: `${bytes} bytes; ${sender.stderr}`,
      });
    await arrive(BEFORE);
    await change();
    await arrive(arrived + AFTER);
    if (connections !== 1) throw new Error(`Cannot call it one flow: ${connections} connections`);
  } finally {
    aborter.abort();
    await service.finished;
  }
}
