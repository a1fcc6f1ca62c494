/** Download in network tests: by curl, of as many bytes as there is time for, so that it goes on whatever happens. */
import { createHash, randomBytes } from "node:crypto";
import { assertEquals } from "../../../support/assert.ts";
import { emptyFile } from "../../../support/folder.ts";
import type { BackgroundProcess, TestNamespace } from "../../../support/net.ts";
import { eventually } from "../../../support/time/patience.ts";

/** Programs that a test with a download needs. */
export const DOWNLOAD_PROGRAMS: readonly string[] = ["sh", "curl"];

const PORT = 8080;
/** Bytes that the server sends at once, and ms until the next. */
const CHUNK = 8_192;
const PAUSE = 20;

export class Download implements AsyncDisposable {
  readonly #aborted = new AbortController();
  readonly #server: Deno.HttpServer;
  readonly #curl: BackgroundProcess;
  readonly #path = emptyFile();
  readonly #sent = createHash("sha256");
  #isEnding = false;

  /**
   * Begins it.
   *
   * @param address of the server, as the client sees it
   */
  constructor(
    { client, server, address }: {
      readonly client: TestNamespace;
      readonly server: TestNamespace;
      readonly address: string;
    },
  ) {
    const content = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
        const chunk = randomBytes(CHUNK);
        this.#sent.update(chunk);
        controller.enqueue(chunk);
        if (this.#isEnding) controller.close();
      },
    });
    const { signal } = this.#aborted;
    this.#server = server.inside(() =>
      Deno.serve(
        { hostname: address, port: PORT, signal, onListen: () => {} },
        () => new Response(content),
      )
    );
    this.#curl = client.spawn([
      ...["sh", "-c", 'curl -sSN --output "$0" "$1"; echo "curl has ended: $?"'],
      ...[this.#path, `http://${address}:${PORT}/`],
    ]);
  }

  /** Waits until more has arrived. */
  async goesOn(): Promise<void> {
    const { size } = Deno.statSync(this.#path);
    await eventually(() => {
      assertEquals(this.#curl.stdout, "", this.#curl.stderr);
      return Deno.statSync(this.#path).size > size + 8 * CHUNK || null;
    });
  }

  /** Ends it, and makes sure that what has arrived has the SHA-256 of what was sent. */
  async endsIntact(): Promise<void> {
    this.#isEnding = true;
    await this.#curl.waitFor(/curl has ended: 0/);
    const received = createHash("sha256").update(Deno.readFileSync(this.#path));
    assertEquals(received.digest("hex"), this.#sent.digest("hex"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#curl[Symbol.asyncDispose]();
    this.#aborted.abort();
    await this.#server.finished;
    Deno.removeSync(this.#path);
  }
}
