/** NATS connect: connects to a server of NATS, and leaves nothing open where that fails. */
import {
  type ConnectionOptions,
  type NatsConnection,
  NatsConnectionImpl,
  setTransportFactory,
} from "@nats-io/transport-node";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";

/**
 * The library's own leaves the socket open where it gives up before the server has said who it is: a server that hangs,
 * whose kernel goes on to accept, would take a descriptor of ours at each attempt, for as long as it hangs.
 */
class ClosingTransport extends NodeTransport {
  override async close(error?: Error): Promise<void> {
    await super.close(error);
    if (this.connected) return;
    // One that is connected only later is closed by this.
    this.done = true;
    this.socket?.destroy();
  }
}

/** Connects as the library's `connect()` does. @throws {Error} */
export async function connectNats(options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new ClosingTransport(), dnsResolveFn: nodeResolveHost });
  return await NatsConnectionImpl.connect(options);
}
