/** Small datagrams through a tunnel at a given rate. */
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { SERVER_INSIDE, type Wire } from "../../net/support/wire.ts";
import { WorkerClient } from "./worker_client.ts";

/** What the Worker is asked for. */
export interface UdpLoadRequest {
  readonly senderNamespace: string;
  readonly receiverNamespace: string;
  /** Where the datagrams go: IPv4, host order. */
  readonly address: number;
  /** Payload bytes. */
  readonly size: number;
  /** Datagrams a second. */
  readonly rate: number;
  readonly seconds: number;
}

/** What became of one rate. */
export interface UdpTrial {
  readonly sent: number;
  /** Those that arrived while others were still being sent. */
  readonly receivedInTime: number;
  /** All that arrived, be it late. */
  readonly received: number;
  /** How long it was sent for. */
  readonly seconds: number;
}

/** A load from a wire's client to its server. Disposal ends its thread. */
export class UdpLoad implements Disposable {
  readonly #worker = new WorkerClient<UdpLoadRequest, UdpTrial>("./udp_load_worker.ts");
  readonly #ends: Pick<UdpLoadRequest, "senderNamespace" | "receiverNamespace" | "address">;

  constructor({ client, server }: Wire) {
    this.#ends = {
      senderNamespace: client.name,
      receiverNamespace: server.name,
      address: parseIpv4(SERVER_INSIDE)!,
    };
  }

  /** Sends datagrams with 64 bytes of payload. */
  run(rate: number, seconds: number): Promise<UdpTrial> {
    return this.#worker.ask({ ...this.#ends, size: 64, rate, seconds });
  }

  [Symbol.dispose](): void {
    this.#worker[Symbol.dispose]();
  }
}
