/** A storm: handshakes of many clients at the same moment, and a peer that sends pings all the while. */
import type { Identity } from "../../net/support/config.ts";
import { WorkerClient } from "./worker_client.ts";

/** What the Worker is asked for, once for each server. */
export interface StormRequest {
  readonly namespace: string;
  /** The server's public key, base64. */
  readonly serverKey: string;
  /** The server's outer address, host order, and port. */
  readonly address: number;
  readonly port: number;
  /** The private keys, base64, of those that come, and of the peer that is there already. */
  readonly clientKeys: readonly string[];
  readonly peerKey: string;
  /** The ends of the pings, dotted decimal. */
  readonly from: string;
  readonly to: string;
  /** Storms, one after the other. */
  readonly storms: number;
}

export interface StormResult {
  /** Round trips in ms of pings: those of quiet times, and those sent while clients waited for an answer. */
  readonly before: readonly number[];
  readonly during: readonly number[];
  /** Handshakes answered between each ping of a storm and its answer: unlike times, no other load changes them. */
  readonly handshakes: readonly number[];
  /** Pings that were not answered. */
  readonly lost: number;
  /** Clients that have had their answer, of all storms, and ms that the last one of a storm waited for it. */
  readonly answered: number;
  readonly durations: readonly number[];
}

/** Has storms come over a server. */
export async function runStorms(
  { server, clients, peer, ...options }:
    & Omit<StormRequest, "serverKey" | "clientKeys" | "peerKey">
    & {
      readonly server: Identity;
      readonly clients: readonly Identity[];
      readonly peer: Identity;
    },
): Promise<StormResult> {
  using worker = new WorkerClient<StormRequest, StormResult>("./storm_load_worker.ts");
  return await worker.ask({
    ...options,
    serverKey: server.publicKey,
    clientKeys: clients.map(({ privateKey }) => privateKey),
    peerKey: peer.privateKey,
  });
}
