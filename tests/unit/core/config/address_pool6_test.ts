/** Tests of lib/core/config/address_pool6.ts: a gateway's network of IPv6, and which address a new peer gets. */
import { freeAddress6, gatewayAddress6 } from "../../../../lib/core/config/address_pool6.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { assertEquals } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

/** What a peer of a gateway with this `Address` gets, where others have these networks, one peer each. */
function free(address: string, ...others: string[]): string | null {
  const peers = others.map((networks, i) =>
    `[Peer]\nPublicKey = ${sampleKeys(2 + i).publicKey}\nAllowedIPs = ${networks}\n`
  );
  const text = `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\nAddress = ${address}\n`;
  return freeAddress6(parseConfig(text + peers.join(""), "a.conf"));
}

Deno.test("gatewayAddress6() is the first host of a random unique local /64 (RFC 4193)", () => {
  assertEquals(gatewayAddress6(Uint8Array.of(1, 2, 0xab, 0xcd, 0xef)), "fd01:2ab:cdef::1/64");
  assertEquals(gatewayAddress6(new Uint8Array(5)), "fd00::1/64");
});

Deno.test("freeAddress6() is the lowest address that neither the gateway nor a peer has", () => {
  assertEquals(free("10.0.0.1/24, fd00::1/64"), "fd00::2");
  assertEquals(free("10.0.0.1/24, fd00::2/64"), "fd00::1");
  assertEquals(free("fd00::1/64", "fd00::2/128", "10.0.0.2/32, fd00::4/128"), "fd00::3");
  assertEquals(free("fd00::1/64", "fd00::2/127"), "fd00::4");
  assertEquals(free("fd00::1/64", "fd01::2/128"), "fd00::2");
});

Deno.test("freeAddress6() gives away addresses within a route by way of a peer", () => {
  assertEquals(free("fd00::1/64", "::/0", "fd00::/64"), "fd00::2");
});

Deno.test("freeAddress6() finds none without IPv6, and where all are taken", () => {
  assertEquals(free("10.0.0.1/24"), null);
  assertEquals(free("fd00::1/127"), null);
  assertEquals(free("fd00::1/126", "fd00::2/128"), "fd00::3");
  assertEquals(free("fd00::1/64", "fd00::/65"), null);
});
