/** Shows that the configurations made for the demo fit each other and pass their own checks. */
import { createConfigurations } from "../../../../lib/commands/demo/identities.ts";
import { egress6Of } from "../../../../lib/core/config/egress6.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateClient, validateServer } from "../../../../lib/core/config/roles.ts";
import { formatAddress } from "../../../../lib/core/wire/host_address.ts";
import { formatCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import type { MemberName } from "../../../../lib/commands/demo/topology.ts";
import { assertEquals, assertNotEquals } from "../../../support/assert.ts";

Deno.test("createConfigurations() makes files that server and clients run from", () => {
  const texts = createConfigurations(true);
  const server = validateServer(parseConfig(texts.gateway, "gateway.conf"));
  const clients = (["client-1", "client-2"] as const).map((name) =>
    validateClient(parseConfig(texts[name], `${name}.conf`))
  );
  assertEquals(server.peers.map(({ name }) => name), ["client-1", "client-2"]);
  for (const [i, client] of clients.entries()) {
    assertEquals(client.warnings, []);
    assertEquals(client.server.publicKey, server.interface.publicKey);
    assertEquals(client.server.presharedKey, server.peers[i]!.presharedKey);
    assertEquals(client.interface.publicKey, server.peers[i]!.publicKey);
    assertEquals(client.interface.addresses, server.peers[i]!.allowedIps);
    assertEquals(client.server.endpoint.port, server.listenPort);
    assertEquals(client.server.allowedIps.map(formatCidr), ["0.0.0.0/0"]);
  }
  const [first, second] = clients;
  assertEquals(first!.interface.addresses6, server.peers[0]!.allowedIps6);
  assertEquals(first!.allowedIps6, ["::/0"]);
  assertEquals(egress6Of(server.interface), "nat");
  assertEquals([second!.interface.addresses6, second!.allowedIps6], [[], []]);
  assertEquals(createConfigurations(false).gateway.includes("fd00:"), false);
  // One of them calls by IPv6, where there is any.
  const hosts = (overIpv6: boolean) =>
    clients.map((_, i) =>
      validateClient(
        parseConfig(createConfigurations(overIpv6)[`client-${i + 1}` as MemberName], ""),
      )
        .server.endpoint.host
    );
  assertEquals(hosts(true), ["2001:db8:1::1", "203.0.113.1"]);
  assertEquals(hosts(false), ["203.0.113.1", "203.0.113.1"]);
  assertEquals(server.warnings, []);
  assertEquals(server.interface.egress, "raw");
  assertEquals(server.interface.dnsProxy.map(({ address }) => formatAddress(address)), [
    "192.0.2.1",
  ]);
  assertNotEquals(clients[0]!.server.presharedKey, clients[1]!.server.presharedKey);
  assertNotEquals(createConfigurations(true).gateway, texts.gateway);
});
