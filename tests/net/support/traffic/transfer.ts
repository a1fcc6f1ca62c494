/** Transfers of files in network tests: whether every byte arrives as it was sent, and without standing still. */
import { createHash, randomBytes } from "node:crypto";
import { emptyFile } from "../../../support/folder.ts";
import { type TestNamespace } from "../../../support/net.ts";

/** Programs that a test with a transfer needs. */
export const TRANSFER_PROGRAMS: readonly string[] = ["curl"];

const PORT = 8080;

/** A transfer that has come to its end. */
export interface Transfer {
  /** Whether what arrived has the SHA-256 of what was sent. */
  readonly intact: boolean;
  /** The longest time in ms in which nothing arrived, from the request to the end. */
  readonly longestPause: number;
}

/**
 * Sends `length` random bytes by TCP from one namespace to the other.
 *
 * @param address of the receiver, as the sender sees it
 * @param rate bytes a second at most, as curl has it; as many as go if left out
 * @throws {Error} with what curl says, when the transfer fails
 */
export async function transfer(
  from: TestNamespace,
  to: TestNamespace,
  { address, length, rate }: { address: string; length: number; rate?: string },
): Promise<Transfer> {
  const content = randomBytes(length);
  const path = emptyFile();
  let longestPause = 0;
  const receive = async (request: Request): Promise<Response> => {
    const hash = createHash("sha256");
    let last = performance.now();
    for await (const chunk of request.body ?? []) {
      const now = performance.now();
      longestPause = Math.max(longestPause, now - last);
      last = now;
      hash.update(chunk);
    }
    return new Response(hash.digest("hex"));
  };
  const service = to.inside(() =>
    Deno.serve({ hostname: address, port: PORT, onListen: () => {} }, receive)
  );
  try {
    await Deno.writeFile(path, content);
    const received = await from.output(
      [
        ...["curl", "--silent", "--show-error", "--upload-file", path],
        ...(rate === undefined ? [] : ["--limit-rate", rate]),
        `http://${address}:${PORT}/`,
      ],
    );
    const intact = received === createHash("sha256").update(content).digest("hex");
    return { intact, longestPause };
  } finally {
    await service.shutdown();
    await Deno.remove(path);
  }
}
