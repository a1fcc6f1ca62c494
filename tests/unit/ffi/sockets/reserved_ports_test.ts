/** Tests of `ffi/sockets/reserved_ports.ts`: ports that nobody else gets while they are taken. */
import { EADDRINUSE, SystemCallError } from "../../../../ffi/errno.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import { ReservedPorts } from "../../../../ffi/sockets/reserved_ports.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

/** Two listeners on neighbouring ports. */
function listenOnTwo(): [Deno.TcpListener, Deno.TcpListener] {
  for (;;) {
    const one = Deno.listen({ port: 0 });
    try {
      return [one, Deno.listen({ port: one.addr.port + 1 })];
    } catch (error) {
      one.close();
      if (!(error instanceof Deno.errors.AddrInUse || error instanceof RangeError)) throw error;
    }
  }
}

hostTest(
  "ReservedPorts.bind() takes ports that nobody can listen on until it is disposed of",
  () => {
    const [one, other] = listenOnTwo();
    const range = { first: one.addr.port, last: other.addr.port };
    one.close();
    other.close();
    {
      using ports = ReservedPorts.bind(openLibc(), range);
      assertEquals([ports.first, ports.last], [range.first, range.last]);
      for (const port of [range.first, range.last]) {
        assertThrows(() => Deno.listen({ port }), Deno.errors.AddrInUse);
        assertThrows(() => Deno.listen({ port, hostname: "127.0.0.1" }), Deno.errors.AddrInUse);
      }
    }
    for (const port of [range.first, range.last]) Deno.listen({ port }).close();
  },
);

hostTest("ReservedPorts.bind() takes all ports or none", () => {
  const [free, taken] = listenOnTwo();
  const range = { first: free.addr.port, last: taken.addr.port };
  free.close();
  const error = assertThrows(() => ReservedPorts.bind(openLibc(), range), SystemCallError);
  assertEquals(error.errno, EADDRINUSE);
  assert(error.message.startsWith(`Cannot reserve TCP port ${range.last}: `), error.message);
  Deno.listen({ port: range.first }).close();
  taken.close();
});
