/** Tests of the table of endpoints at which peers were proven. */
import { EndpointProof } from "../../../../../lib/core/wireguard/path/endpoint_proof.ts";
import { ProvenEndpoints } from "../../../../../lib/core/wireguard/handshake/proven_endpoints.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("has() knows what was added until it is removed, above 128.0.0.0 too, and no port 0", () => {
  const table = new ProvenEndpoints(7);
  for (const address of [1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe]) {
    assertEquals(table.has(address, 5), false);
    table.add(address, 5);
    assertEquals([table.has(address, 5), table.has(address | 0, 5)], [true, true]);
    assertEquals([table.has(address, 6), table.has(address, 0)], [false, false]);
    table.remove(address, 5);
    assertEquals(table.has(address, 5), false);
  }
});

Deno.test("a thousand peers' endpoints stay known though one peer proves ever new ones", () => {
  const table = new ProvenEndpoints(7);
  for (let i = 0; i < 1_000; i++) {
    new EndpointProof().prove({ addressKey: 0xc0000200 + i, port: 40_000 }, table);
  }
  const restless = new EndpointProof();
  for (let i = 0; i < 50_000; i++) {
    restless.prove({ addressKey: 0xcb007107, port: 1_024 + i }, table);
  }
  let known = 0;
  for (let i = 0; i < 1_000; i++) known += Number(table.has(0xc0000200 + i, 40_000));
  assertEquals(known, 1_000);
  assertEquals([table.has(0xcb007107, 51_023), table.has(0xcb007107, 51_021)], [true, false]);
  restless.forget(table);
  assertEquals(table.has(0xcb007107, 51_023), false);
});
