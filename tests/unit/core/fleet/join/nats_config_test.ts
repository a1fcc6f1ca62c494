/** Tests of lib/core/fleet/join/nats_config.ts; tests/net/fleet runs servers of NATS from it. */
import { natsConfigText } from "../../../../../lib/core/fleet/join/nats_config.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { hostTest } from "../../../../support/permissions.ts";

const server = (host: string) => ({ host, port: 4222, routePort: 6222 });

Deno.test("a server by itself has no cluster, and listens by IPv6 where it has such an address", () => {
  const text = natsConfigText({ number: 1, servers: [server("2001:db8::1")], gateways: ["UA"] });
  assert(!text.includes("cluster") && text.includes('listen: "[::]:4222"'), text);
  assertEquals(text.match(/nkey: \w+/g), ["nkey: UA"]);
});

Deno.test("each server of a cluster is advertised by its own name, and has routes to all", () => {
  const servers = ["a.example.org", "192.0.2.7", "2001:db8::1"].map(server);
  const text = natsConfigText({ number: 2, servers, gateways: [] });
  assertEquals(text.match(/(?:listen|advertise|server_name): .*/g), [
    "server_name: nats-2",
    'listen: "0.0.0.0:4222"',
    'listen: "0.0.0.0:6222"',
    'advertise: "192.0.2.7:6222"',
  ]);
  assertEquals(text.match(/tls:\/\/[^"]*/g), [
    "tls://a.example.org:6222",
    "tls://192.0.2.7:6222",
    "tls://[2001:db8::1]:6222",
  ]);
});

hostTest(
  "lib/packaging/nats-fleet.conf is what vpn fleet init writes for the first of three servers",
  () => {
    const path = new URL("../../../../../lib/packaging/nats-fleet.conf", import.meta.url);
    assertEquals(
      Deno.readTextFileSync(path),
      natsConfigText({
        number: 1,
        servers: ["nats-a.example.org", "nats-b.example.org", "nats-c.example.org"].map(server),
        gateways: ["A", "B", "C"].map((letter) => `U${letter.repeat(55)}`),
      }),
    );
  },
);
