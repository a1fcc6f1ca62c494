/** What of a configuration is written for `wg`. */
import { parseConfig } from "../../../../../lib/core/config/parse_config.ts";
import { wgText } from "../../../../../lib/core/config/text/wg_text.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const OWN = sampleKeys(1);
const PEER = sampleKeys(2);
const OTHER = sampleKeys(3);

Deno.test("wgText() leaves out what WireGuard does not know, and writes the rest as wg reads it", () => {
  const text = `[Interface]
PrivateKey = ${OWN.privateKey}
Address = 10.0.0.1/24
FwMark = 0x10
Egress = off
PostUp = true
[Peer]
# Name = a b
PublicKey = ${PEER.publicKey}
PresharedKey = ${OTHER.privateKey}
AllowedIPs = 10.0.0.2, fd00::/64
Endpoint = 192.0.2.9:7
Endpoint = b\u00fccher.example : 7
PersistentKeepalive = 25
RateLimit = 10M
[Peer]
PublicKey = ${OTHER.publicKey}
Endpoint = [2001:DB8::1]:7
PersistentKeepalive = off
[Peer]
PublicKey = ${PEER.publicKey}
AllowedIPs = 10.0.1.0/24
`;
  const stripped = `[Interface]
PrivateKey = ${OWN.privateKey}
FwMark = 16

[Peer]
PublicKey = ${PEER.publicKey}
PresharedKey = ${OTHER.privateKey}
AllowedIPs = 10.0.0.2/32, 10.0.1.0/24, fd00::/64
Endpoint = xn--bcher-kva.example:7
PersistentKeepalive = 25

[Peer]
PublicKey = ${OTHER.publicKey}
Endpoint = [2001:db8::1]:7
`;
  assertEquals(wgText(parseConfig(text, "a.conf")), stripped);
  assertEquals(wgText(parseConfig(stripped, "a.conf")), stripped);
});

Deno.test("wgText() leaves a private key out that a command sets", () => {
  const config = parseConfig("[Interface]\nListenPort = 7", "a.conf", {
    keysOfHooks: () => ({ privateKey: new Uint8Array(32), presharedKeys: new Map(), done: [] }),
  });
  assertEquals(wgText(config), "[Interface]\nListenPort = 7\n");
});
