/** Tests of lib/core/fleet/gateway_entries.ts. */
import {
  gatewayBytes,
  gatewayKey,
  gatewayOfKey,
  readGateway,
} from "../../../../lib/core/fleet/gateway_entries.ts";
import { assertEquals } from "../../../support/assert.ts";

const entry = {
  publicKey: new Uint8Array(32).fill(3).toBase64(),
  endpoint: { address: 0xc000_0201, port: 51_821 },
  name: "gw-1.example",
  isDraining: true,
};

Deno.test("a gateway's entry is read as it was written", () => {
  assertEquals(readGateway(gatewayBytes(entry)), entry);
  assertEquals(gatewayOfKey(gatewayKey(0)), 0);
  assertEquals(gatewayOfKey(gatewayKey(255)), 255);
});

Deno.test("an entry that others have written is used only where all of it can be", () => {
  const read = (value: unknown) => readGateway(new TextEncoder().encode(JSON.stringify(value)));
  const { publicKey } = entry;
  const endpoint = "192.0.2.1:51821";
  assertEquals(read({ publicKey, endpoint, name: "\x1b[2Jroot" })?.name, "??2Jroot");
  assertEquals(read({ publicKey, endpoint, name: "a", isDraining: 1 })?.isDraining, false);
  for (
    const bad of [
      null,
      [],
      "text",
      { publicKey: "no key", endpoint, name: "a" },
      { publicKey, endpoint: "192.0.2.1", name: "a" },
      { publicKey, endpoint: "192.0.2.256:1", name: "a" },
      { publicKey, endpoint: "192.0.2.1:0", name: "a" },
      { publicKey, endpoint: "192.0.2.1:65536", name: "a" },
      { publicKey, endpoint, name: 7 },
      { publicKey, endpoint, name: "a".repeat(2_000) },
    ]
  ) assertEquals(read(bad), null);
  assertEquals(readGateway(new Uint8Array([0xff, 0xfe])), null);
  for (
    const key of ["gateway.", "gateway.00", "gateway.256", "gateway.-1", "gateway.1.2", "peer.1"]
  ) {
    assertEquals(gatewayOfKey(key), null);
  }
});
