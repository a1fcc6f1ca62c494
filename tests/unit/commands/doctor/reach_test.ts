/** Tests of `lib/commands/doctor/reach.ts`: which interface is taken for the tunnel that is up. */
import { assertEquals } from "../../../support/assert.ts";
import { configText, newIdentity } from "../../../net/support/config.ts";
import { tunnelWith } from "../../../../lib/commands/doctor/reach.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateClient } from "../../../../lib/core/config/roles.ts";

const CLIENT = validateClient(parseConfig(
  configText(
    { PrivateKey: newIdentity().privateKey, Address: "10.66.77.2/32" },
    { PublicKey: newIdentity().publicKey, Endpoint: "192.0.2.1:51820", AllowedIPs: "0.0.0.0/0" },
  ),
  "client.conf",
));
const OWN = Uint8Array.of(10, 66, 77, 2);

const LINKS = new Map([
  [7, { name: "eth0", hardwareAddress: new Uint8Array(6) }],
  [8, { name: "wg0", hardwareAddress: null }],
]);

function tunnelAmong(...addresses: readonly { link: number; address: Uint8Array }[]) {
  const netlink = {
    addresses: { list: () => addresses },
    links: { find: (index: number) => LINKS.get(index) ?? null },
  };
  return tunnelWith(CLIENT, netlink as unknown as Parameters<typeof tunnelWith>[1]);
}

Deno.test("a network card to which the tunnel's address was leased is no tunnel that is up", () => {
  assertEquals(tunnelAmong({ link: 7, address: OWN }), null);
});

Deno.test("a tunnel with the address is up, whatever program has it, and whatever else has the address", () => {
  assertEquals(tunnelAmong({ link: 8, address: OWN }), "wg0");
  assertEquals(tunnelAmong({ link: 7, address: OWN }, { link: 8, address: OWN }), "wg0");
  assertEquals(tunnelAmong({ link: 8, address: Uint8Array.of(10, 66, 77, 3) }), null);
});
