/** Tests of lib/host/fleet/nats_connect.ts. */
import { connectNats } from "../../../../lib/host/fleet/nats_connect.ts";
import { assertRejects } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";
import { eventually } from "../../../support/time/patience.ts";

/** What a server says that would have TLS, and then does not answer. */
const INFO = 'INFO {"server_id":"x","version":"2.9.10","proto":1,"tls_required":true}\r\n';

for (const [what, said] of [["says nothing", ""], ["is silent once TLS is to begin", INFO]]) {
  hostTest(`a server that accepts and ${what} is left again, with no socket open`, async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const options = { servers: [`127.0.0.1:${port}`], timeout: 100, reconnect: false };
    const refusal = assertRejects(() => connectNats(options), Error);
    using connection = await listener.accept();
    let isClosed = false;
    const serve = async () => {
      await connection.write(new TextEncoder().encode(said));
      const buffer = new Uint8Array(4096);
      while (await connection.read(buffer) !== null);
    };
    // One that leaves what it was sent resets the connection.
    const serving = serve().catch(() => {}).then(() => isClosed = true);
    await refusal;
    await eventually(() => isClosed ? true : null, { what: "the end of the connection" });
    await serving;
  });
}
