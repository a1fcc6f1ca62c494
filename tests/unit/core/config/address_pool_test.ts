/** Shows which address a new peer of a gateway gets. */
import { freeAddress } from "../../../../lib/core/config/address_pool.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { formatIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

/** The free address of a gateway with this `Address`, and a peer for each of these AllowedIPs. */
function free(address: string, ...allowedIps: string[]): string | null {
  const peers = allowedIps.map((networks, index) =>
    `[Peer]\nPublicKey = ${sampleKeys(index + 2).publicKey}\nAllowedIPs = ${networks}\n`
  );
  const text = `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\nAddress = ${address}\n${
    peers.join("")
  }`;
  const found = freeAddress(parseConfig(text, "server.conf"));
  return found === null ? null : formatIpv4(found);
}

Deno.test("freeAddress() is the lowest address that neither the gateway nor a peer has", () => {
  assertEquals(free("10.66.77.1/24"), "10.66.77.2");
  assertEquals(free("10.66.77.9/24"), "10.66.77.1");
  assertEquals(free("10.66.77.1/24", "10.66.77.2/32", "10.66.77.4/32"), "10.66.77.3");
  assertEquals(
    free("10.66.77.1/24", "10.66.77.4/32, 10.66.77.2/32", "10.66.77.3/32"),
    "10.66.77.5",
  );
});

Deno.test("freeAddress() leaves out a network that a peer has, and takes the one behind it", () => {
  assertEquals(free("10.66.77.1/24", "10.66.77.0/28"), "10.66.77.16");
  assertEquals(free("10.66.77.1/24", "10.66.77.0/25, 10.66.77.128/26"), "10.66.77.192");
});

Deno.test("freeAddress() gives addresses away that only a wider route of a peer covers", () => {
  assertEquals(free("10.66.77.1/24", "0.0.0.0/0", "10.0.0.0/8"), "10.66.77.2");
  assertEquals(free("10.66.77.1/24", "192.168.0.0/16"), "10.66.77.2");
});

Deno.test("freeAddress() never gives away a network's first and last address", () => {
  assertEquals(free("10.66.77.1/30"), "10.66.77.2");
  assertEquals(free("10.66.77.1/30", "10.66.77.2/32"), null);
  assertEquals(free("10.66.77.2/30", "10.66.77.1/32"), null);
});

Deno.test("freeAddress() is null where the gateway's address has no network, and goes on to its next one", () => {
  assertEquals(free("10.66.77.1/32"), null);
  assertEquals(free("10.66.77.0/31"), null);
  assertEquals(free("10.66.77.1/32, 10.9.0.1/16"), "10.9.0.2");
  assertEquals(free("10.66.77.1/30, 10.9.0.1/16", "10.66.77.2/32"), "10.9.0.2");
});

Deno.test("freeAddress() finds its way through the widest network and through the end of the address space", () => {
  assertEquals(free("10.0.0.1/8", "10.0.0.0/9"), "10.128.0.0");
  assertEquals(free("223.255.255.1/24", "223.255.255.0/25"), "223.255.255.128");
});
