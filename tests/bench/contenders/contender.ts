/** Contender: what the bench knows of one: how to start it on a wire, and how to end it. */
import type { BackgroundProcess } from "../../support/net.ts";
import type { Wire } from "../../net/support/wire.ts";

/**
 * A running tunnel between the two ends of a wire, with the inner addresses of tests/net/support/wire.ts. Disposal ends
 * it and leaves the wire as it was.
 */
export interface Tunnel extends AsyncDisposable {
  readonly server: BackgroundProcess;
  readonly client: BackgroundProcess;
}

/** Something that makes tunnels. */
export interface Contender {
  /** One of `ContenderName`. */
  readonly name: string;
  /** Starts both ends; the tunnel can be used when this resolves. */
  start(wire: Wire): Promise<Tunnel>;
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
