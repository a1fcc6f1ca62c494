/** Tests of the topologies in `tests/support/net.ts`: what they make, and that nothing of it stays. */
import { namespaceExists } from "../../../ffi/netns.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { netTest, Topology } from "../../support/net.ts";

netTest("cable() joins namespaces so that a connection passes", async (topology) => {
  const [client, server] = [topology.namespace("client"), topology.namespace("server")];
  topology.cable(
    { namespace: client, name: "eth0", address: "192.0.2.1/24" },
    { namespace: server, name: "eth0", address: "192.0.2.2/24" },
  );
  using listener = server.inside(() => Deno.listen({ hostname: "192.0.2.2", port: 7 }));
  const script = `
    const connection = await Deno.connect({ hostname: "192.0.2.2", port: 7 });
    await connection.write(new TextEncoder().encode("over the cable"));
    connection.close();`;
  const [connection] = await Promise.all([
    listener.accept(),
    client.output([Deno.execPath(), "eval", script]),
  ]);
  assertEquals(await new Response(connection.readable).text(), "over the cable");
  assertEquals((connection.remoteAddr as Deno.NetAddr).hostname, "192.0.2.1");
});

netTest("a topology takes away its namespaces and programs, also after an error", async () => {
  let name = "";
  let status: Promise<Deno.CommandStatus> | undefined;
  await assertRejects(
    async () => {
      await using topology = new Topology();
      const namespace = topology.namespace("doomed");
      name = namespace.name;
      status = namespace.spawn(["sleep", "60"]).status;
      assert(namespaceExists(name));
      throw new RangeError("in the middle of a test");
    },
    RangeError,
    "in the middle",
  );
  assert(!namespaceExists(name));
  assertEquals((await status)?.signal, "SIGTERM");
});
