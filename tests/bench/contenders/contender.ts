/** Contender: what the bench knows of one: how to start it on a wire, and how to end it. */
import type { BackgroundProcess } from "../../support/net.ts";
import type { Section } from "../../net/support/config.ts";
import type { Wire } from "../../net/support/wire.ts";

/**
 * A running tunnel between the two ends of a wire, with the inner addresses of tests/net/support/wire.ts. Disposal ends
 * it and leaves the wire as it was.
 */
export interface Tunnel extends AsyncDisposable {
  readonly server: BackgroundProcess;
  readonly client: BackgroundProcess;
}

/** Where a tunnel is made. */
export interface Site extends Wire {
  /** A network behind the server, which the client is to reach through the tunnel; none if left out. */
  readonly behind?: string;
}

/** Figures that a contender cannot be measured by, by their ids, and why. */
export type Unfit = Readonly<Record<string, string>>;

/** Something that makes tunnels. */
export interface Contender {
  /** One of `ContenderName`. */
  readonly name: string;
  /** Whether its server translates addresses by itself, so that the kernel's masquerade is not needed. */
  readonly translates?: boolean;
  readonly unfit?: Unfit;
  /** Starts both ends; the tunnel can be used when this resolves. */
  start(site: Site): Promise<Tunnel>;
  /** Starts the server alone, with these WireGuard peers; where it can. */
  startServer?(wire: Wire, peers: readonly Section[]): Promise<BackgroundProcess>;
}

/** Why a program that speaks another protocol is not in the figures of 1,000 clients. */
export function noWireguard(name: string): Unfit {
  const handshakes = `the storm speaks WireGuard's handshake, ${name} another`;
  const peers = `${name} has no list of peers: who has a certificate may come`;
  return {
    "handshakes": handshakes,
    "memory-1000": peers,
    "memory-1000-loaded": handshakes,
  };
}

/** A tunnel of two processes; the client ends first. */
export function tunnelOf(server: BackgroundProcess, client: BackgroundProcess): Tunnel {
  return {
    server,
    client,
    async [Symbol.asyncDispose]() {
      await client.stop();
      await server.stop();
    },
  };
}
