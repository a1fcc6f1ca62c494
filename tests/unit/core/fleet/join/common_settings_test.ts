/** Tests of lib/core/fleet/join/common_settings.ts. */
import { atOnce } from "../../../../../lib/core/config/at_once.ts";
import { INTERFACE_KEYS } from "../../../../../lib/core/config/values/keys.ts";
import {
  commonSettings,
  isCommonKey,
  joinedFileText,
} from "../../../../../lib/core/fleet/join/common_settings.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("settings that gateways have in common are told from a host's own, and keep their order", () => {
  const text = `[Interface]
privatekey = k # mine
Address = 10.0.0.1/24
PostUp = touch /tmp/a
Address = fd00::1/64
PostUp = touch /tmp/b
StoreCredentials = server.nk
Metrics = 127.0.0.1:9000
[Peer]
PublicKey = p
[Interface]
Store = tls://a:4222
`;
  assertEquals(atOnce(commonSettings(text)), {
    common: [
      ["PrivateKey", "k"],
      ["Address", "10.0.0.1/24"],
      ["Address", "fd00::1/64"],
      ["Store", "tls://a:4222"],
    ],
    own: ["PostUp", "Metrics"],
  });
});

Deno.test("no key of a client, of a command or of a host's files is one of a fleet", () => {
  const own = Object.keys(INTERFACE_KEYS).filter((key) => !isCommonKey(key));
  assertEquals(own, [
    ...["DNS", "Table", "FwMark", "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig"],
    ...["EgressInterface", "Capture", "DnsBlock", "ConnectTimeout", "OnPeerTimeout", "KillSwitch"],
    ...["AllowIPv6", "Aead", "DataPlaneThreads", "Metrics", "Webhook", "WebhookSecret"],
    ...["ControlGroup", "StoreCredentials", "StoreCA"],
  ]);
  assertEquals(isCommonKey("privatekey"), false);
});

Deno.test("the file of a gateway that joins has its own endpoint, and one of them", () => {
  const settings = [["PublicEndpoint", "a:1"], ["MTU", "1400"]] as const;
  const files = { credentials: "vpn0.nk", ca: "vpn0-store-ca.pem" };
  const body = (endpoint: string | null) =>
    joinedFileText(settings, files, endpoint).replace(/^#.*\n/gm, "");
  const rest = "StoreCredentials = vpn0.nk\nStoreCA = vpn0-store-ca.pem\n";
  assertEquals(body(null), `[Interface]\nPublicEndpoint = a:1\nMTU = 1400\n${rest}`);
  assertEquals(body("b:2"), `[Interface]\nMTU = 1400\nPublicEndpoint = b:2\n${rest}`);
});
