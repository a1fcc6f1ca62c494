/** Tests of `roleOf()`: what a configuration is for, where nobody says. */
import { assertEquals } from "../../../support/assert.ts";
import { roleOf } from "../../../../lib/commands/doctor/subject.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { configText, newIdentity, type Section } from "../../../net/support/config.ts";

const ENDPOINT = { Endpoint: "192.0.2.1:51820" };

function role(section: Section, ...peers: readonly Section[]): string {
  const text = configText(
    { PrivateKey: newIdentity().privateKey, Address: "10.66.77.1/24", ...section },
    ...peers.map((peer) => ({ PublicKey: newIdentity().publicKey, ...peer })),
  );
  return roleOf(parseConfig(text, "test.conf"));
}

Deno.test("roleOf() takes one peer with an endpoint, and no port of its own, for a client", () => {
  assertEquals(role({}, ENDPOINT), "client");
});

Deno.test("roleOf() takes a client for one that has several peers, or a port of its own and everything goes to a peer", () => {
  assertEquals(role({}, ENDPOINT, ENDPOINT), "client");
  const all = { ...ENDPOINT, AllowedIPs: "0.0.0.0/0, ::/0" };
  assertEquals(role({ ListenPort: 51820 }, all), "client");
  assertEquals(role({}, {}, { ...all, AllowedIPs: "0.0.0.0/1, 128.0.0.0/1" }), "client");
});

Deno.test("roleOf() takes a client for one whose port wg-quick has saved, unless it has what only a gateway has", () => {
  const saved = { ListenPort: 34512, SaveConfig: "true" };
  assertEquals(role({ ...saved, DNS: "10.66.77.1" }, ENDPOINT), "client");
  assertEquals(role(saved, { ...ENDPOINT, PersistentKeepalive: 25 }), "client");
  const gateway = { ...saved, DnsProxy: "9.9.9.9" };
  assertEquals(role(gateway, { ...ENDPOINT, PersistentKeepalive: 25 }), "server");
  assertEquals(role({ ...saved, DNS: "10.66.77.1" }, ENDPOINT, {}), "server");
});

Deno.test("roleOf() takes everything else for a server", () => {
  assertEquals(role({}), "server");
  assertEquals(role({}, {}), "server");
  assertEquals(role({ ListenPort: 51820 }, ENDPOINT), "server");
  assertEquals(role({}, ENDPOINT, {}), "server");
});
