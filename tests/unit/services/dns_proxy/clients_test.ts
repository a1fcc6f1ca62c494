/** Tests of `lib/services/dns_proxy/clients.ts`: whose an inner address is. */
import { ClientDirectory } from "../../../../lib/services/dns_proxy/clients.ts";
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";

const address = (text: string) => parseIpv4(text)!;
const allowedIps6: string[] = [];
const network = (text: string, prefixLength: number) => ({ address: address(text), prefixLength });

Deno.test("an address is its peer's by the longest prefix, else its own; changes of the peers are followed", () => {
  let peers = new Map([
    ["site", {
      name: null,
      allowedIps: [network("10.66.77.2", 32), network("192.168.0.0", 16)],
      allowedIps6,
    }],
    ["room", { name: null, allowedIps: [network("192.168.7.9", 24)], allowedIps6 }],
    ["desk", { name: null, allowedIps: [network("192.168.7.1", 32)], allowedIps6 }],
  ]);
  const directory = new ClientDirectory(() => peers);
  const at = (text: string) => directory.at(address(text));
  assertEquals(
    ["10.66.77.2", "192.168.1.1", "192.168.7.200", "192.168.7.1", "10.66.77.3"].map(at),
    ["site", "site", "room", "desk", address("10.66.77.3")],
  );
  peers = new Map([["late", { name: null, allowedIps: [network("10.66.77.3", 32)], allowedIps6 }]]);
  assertEquals(["10.66.77.3", "192.168.7.1"].map(at), ["late", address("192.168.7.1")]);
});
