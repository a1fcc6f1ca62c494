/** Shows how a peer travels over the control socket. */
import { livePeer, publicKeyOf } from "../../../lib/control/peer_params.ts";
import { peerSettings } from "../../../lib/core/peers/peer_settings.ts";
import { RequestError } from "../../../lib/control/protocol.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";

const KEY = encodeKey(new Uint8Array(32).fill(1));
const OTHER = encodeKey(new Uint8Array(32).fill(2));

Deno.test("livePeer() reads what peerSettings() has written of a configuration's peer", () => {
  const [full, bare] = parseConfig(
    `[Interface]
PrivateKey = ${KEY}
[Peer]
Name = größer
PublicKey = ${OTHER}
PresharedKey = ${KEY}
AllowedIPs = 10.66.77.2/32, 10.9.8.7/16, fd00::/64
Endpoint = 192.0.2.1:7
PersistentKeepalive = 25
RateLimit = 10M
Quota = 1.5G/month
QuotaRate = 64k
Groups = staff, night-shift
Enabled = no
Expires = 2027-01-31T18:00:00+01:00
[Peer]
PublicKey = ${encodeKey(new Uint8Array(32).fill(3))}
[Group]
Name = staff
[Group]
Name = night-shift
`,
    "a.conf",
  ).peers;
  for (const peer of [full!, bare!]) {
    const { line: _line, zonedEndpoint: _zonedEndpoint, otherEndpoints: _otherEndpoints, ...rest } =
      peer;
    const params = { PublicKey: encodeKey(peer.publicKey), ...peerSettings(peer) };
    assertEquals(livePeer(JSON.parse(JSON.stringify(params))), rest);
  }
});

Deno.test("livePeer() leaves out an endpoint that would have to be looked up", () => {
  assertEquals(livePeer({ PublicKey: KEY, Endpoint: "vpn.example.org:7" }).endpoint, null);
});

Deno.test("livePeer() throws for what is missing, no text, or cannot be, and shows no key", () => {
  for (
    const [params, problem] of [
      [{}, "PublicKey is missing"],
      [{ PublicKey: null }, "Cannot read PublicKey: it is not a string"],
      [{ PublicKey: `${KEY}A` }, "PublicKey: cannot use"],
      [{ PublicKey: KEY, PresharedKey: OTHER.slice(1) }, "PresharedKey: cannot use"],
      [{ PublicKey: KEY, AllowedIPs: ["10.0.0.0/8"] }, "Cannot read AllowedIPs"],
      [{ PublicKey: KEY, AllowedIPs: "10.0.0.0/99" }, "AllowedIPs: cannot use"],
      [{ PublicKey: KEY, Name: "../x" }, "Name: cannot use"],
      [{ PublicKey: KEY, PersistentKeepalive: "-1" }, "PersistentKeepalive: cannot use"],
      [{ PublicKey: KEY, RateLimit: "fast" }, "RateLimit: cannot use"],
      [{ PublicKey: KEY, Enabled: "maybe" }, "Enabled: cannot use"],
      [{ PublicKey: KEY, Expires: "30d" }, "Expires: cannot use"],
    ] as const
  ) {
    const { message } = assertThrows(() => livePeer(params), RequestError, problem);
    assert(!message.includes(OTHER.slice(1, 30)), message);
  }
});

Deno.test("publicKeyOf() reads the key alone", () => {
  assertEquals(encodeKey(publicKeyOf({ PublicKey: KEY, AllowedIPs: 7 })), KEY);
});
