/** Packets of many peers for a gateway: sealed beforehand and replayed, so that what is measured is the gateway. */
import type { Identity } from "../../net/support/config.ts";
import { WorkerClient } from "./worker_client.ts";

/** The ways through a gateway: from a peer to the internet and back, and from a peer to the next. */
export const WAYS = ["up", "down", "across"] as const;
export type Way = (typeof WAYS)[number];

/** What the Worker is asked for: first to get ready, then to run, any number of times, `up` before `down`. */
export type GatewayRequest =
  | {
    readonly kind: "prepare";
    /** Where the peers are, and where the internet is. */
    readonly clientNamespace: string;
    readonly internetNamespace: string;
    /** The gateway's public key, base64. */
    readonly serverKey: string;
    /** The gateway's outer address, host order, and port. */
    readonly address: number;
    readonly port: number;
    /** An address of the internet, dotted decimal. */
    readonly internet: string;
    /** The peers' private keys, base64. */
    readonly clientKeys: readonly string[];
    /** Packets that a run has at most. */
    readonly capacity: number;
  }
  | {
    readonly kind: "run";
    readonly way: Way;
    readonly packets: number;
  }
  | {
    readonly kind: "backlog";
    readonly way: Way;
    readonly packets: number;
    /** Of the gateway. */
    readonly pid: number;
  };

/** What came through. */
export interface GatewayResult {
  readonly seconds: number;
  /** Of the inner packets. */
  readonly bytes: number;
  /** Packets that did not arrive. */
  readonly lost: number;
}

export interface GatewayLoadOptions extends
  Pick<
    Extract<GatewayRequest, { kind: "prepare" }>,
    "clientNamespace" | "internetNamespace" | "address" | "port" | "internet" | "capacity"
  > {
  readonly server: Identity;
  readonly clients: readonly Identity[];
}

/** The load. Disposal ends its thread. */
export class GatewayLoad implements Disposable {
  readonly #worker: WorkerClient<GatewayRequest, GatewayResult>;

  private constructor(worker: WorkerClient<GatewayRequest, GatewayResult>) {
    this.#worker = worker;
  }

  /** Gives each of the peers a session with the gateway. */
  static async prepare(
    { server, clients, ...options }: GatewayLoadOptions,
  ): Promise<GatewayLoad> {
    const worker = new WorkerClient<GatewayRequest, GatewayResult>("./gateway_load_worker.ts");
    try {
      await worker.ask({
        kind: "prepare",
        ...options,
        serverKey: server.publicKey,
        clientKeys: clients.map(({ privateKey }) => privateKey),
      });
      return new GatewayLoad(worker);
    } catch (error) {
      worker[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Seals packets of all peers, while the gateway has nothing to do; then sends them as fast as they come through, some
   * of them always under way, and counts those that arrive.
   */
  run(way: Way, packets: number): Promise<GatewayResult> {
    return this.#worker.ask({ kind: "run", way, packets });
  }

  /**
   * Has a gateway work off packets that have come while it was stopped, as many as its sockets take: it has the machine
   * for itself, as the load sleeps until it is done. The time, and the bytes, are those behind the first receive.
   */
  backlog(way: Way, packets: number, pid: number): Promise<GatewayResult> {
    return this.#worker.ask({ kind: "backlog", way, packets, pid });
  }

  [Symbol.dispose](): void {
    this.#worker[Symbol.dispose]();
  }
}
