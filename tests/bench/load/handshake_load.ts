/**
 * Storm of handshakes from many clients, each with a key and an address of its own, that all know how to use a cookie.
 */
import type { Identity } from "../../net/support/config.ts";
import { WorkerClient } from "./worker_client.ts";

/** What the Worker is asked for: first to get ready, then to run, any number of times. */
export type HandshakeRequest =
  | {
    readonly kind: "prepare";
    readonly namespace: string;
    /** The server's public key, base64. */
    readonly serverKey: string;
    /** The server's outer address, host order, and port. */
    readonly address: number;
    readonly port: number;
    /** The clients' private keys, base64. */
    readonly clientKeys: readonly string[];
    /** Initiations made for each client. */
    readonly depth: number;
  }
  | {
    readonly kind: "run";
    readonly seconds: number;
    /** All clients send from one address. */
    readonly oneAddress: boolean;
  };

/** What came back. */
export interface HandshakeResult {
  readonly seconds: number;
  readonly sent: number;
  /** Handshake responses. */
  readonly responses: number;
  readonly cookieReplies: number;
}

export interface HandshakeLoadOptions {
  readonly namespace: string;
  readonly server: Identity;
  readonly address: number;
  readonly port: number;
  readonly clients: readonly Identity[];
  readonly depth: number;
}

/** The storm. Disposal ends its thread. */
export class HandshakeLoad implements Disposable {
  readonly #worker: WorkerClient<HandshakeRequest, HandshakeResult>;

  private constructor(worker: WorkerClient<HandshakeRequest, HandshakeResult>) {
    this.#worker = worker;
  }

  /** Makes the initiations beforehand: what is measured is the server. */
  static async prepare(options: HandshakeLoadOptions): Promise<HandshakeLoad> {
    const worker = new WorkerClient<HandshakeRequest, HandshakeResult>(
      "./handshake_load_worker.ts",
    );
    try {
      await worker.ask({
        kind: "prepare",
        namespace: options.namespace,
        serverKey: options.server.publicKey,
        address: options.address,
        port: options.port,
        clientKeys: options.clients.map(({ privateKey }) => privateKey),
        depth: options.depth,
      });
      return new HandshakeLoad(worker);
    } catch (error) {
      worker[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Sends initiations, a few of them always unanswered, until the time is over or none are left. The first of each
   * client only fetches its cookie and is not counted. Good for one run of a server: it knows the timestamps then.
   */
  run(options: { readonly seconds: number; readonly oneAddress: boolean }): Promise<
    HandshakeResult
  > {
    return this.#worker.ask({ kind: "run", ...options });
  }

  [Symbol.dispose](): void {
    this.#worker[Symbol.dispose]();
  }
}
