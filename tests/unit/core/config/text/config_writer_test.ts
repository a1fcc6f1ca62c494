/** Shows the configurations that we write. */
import type { Config } from "../../../../../lib/core/config/config.ts";
import {
  clientText,
  formatEndpoint,
  FULL_TUNNEL,
  serverFileText,
} from "../../../../../lib/core/config/text/config_writer.ts";
import { decodeKey, encodeKey } from "../../../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../../../lib/core/config/parse_config.ts";
import { validateClient, validateServer } from "../../../../../lib/core/config/roles.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const SERVER_KEYS = sampleKeys(1);
const PSK = encodeKey(new Uint8Array(32).fill(3));
const ENDPOINT = { host: "vpn.example.org", address: null, port: 443 };

function read(text: string): Config {
  return parseConfig(text, "server.conf");
}

Deno.test("serverText() is a gateway's file that reads back as what was asked for, without a warning", () => {
  const address = { address: 0x0a424d01, prefixLength: 24 };
  const privateKey = decodeKey(SERVER_KEYS.privateKey)!;
  const server = {
    privateKey,
    address,
    address6: null,
    endpoint: ENDPOINT,
    controlGroup: "vpn-console",
  };
  const config = validateServer(read(serverFileText(server)));
  assertEquals(config.warnings, []);
  assertEquals(config.interface.addresses, [address]);
  assertEquals(config.interface.privateKey, privateKey);
  assertEquals([config.listenPort, config.interface.controlGroup], [443, "vpn-console"]);
  assertEquals(config.interface.publicEndpoint, ENDPOINT);
  assertEquals(config.interface.dnsProxy.map(({ address }) => address), [0x09090909, 0x01010101]);
});

const CLIENT = {
  privateKey: sampleKeys(2).privateKey,
  addresses: ["10.66.77.2/32"],
  dns: "10.66.77.1, example.org",
  mtu: null,
  transport: "udp",
  publicKey: SERVER_KEYS.publicKey,
  presharedKey: PSK,
  allowedIps: FULL_TUNNEL,
  endpoint: "vpn.example.org:443",
} as const;

Deno.test("clientText() has standard keys alone and reads back as a client of the gateway", () => {
  const text = clientText(CLIENT);
  assertEquals(
    text,
    `[Interface]
PrivateKey = ${sampleKeys(2).privateKey}
Address = 10.66.77.2/32
DNS = 10.66.77.1, example.org

[Peer]
PublicKey = ${SERVER_KEYS.publicKey}
PresharedKey = ${PSK}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = vpn.example.org:443
PersistentKeepalive = 25
`,
  );
  const client = validateClient(parseConfig(text, "laptop.conf"));
  // What we write gives rise to no warning, its IPv6 included.
  assertEquals(client.warnings, []);
  assertEquals(encodeKey(client.interface.publicKey), sampleKeys(2).publicKey);
  assertEquals(encodeKey(client.server.publicKey), SERVER_KEYS.publicKey);
  assertEquals(encodeKey(client.server.presharedKey!), PSK);
});

Deno.test("clientText() passes on the gateway's MTU, and a transport that both ends must name", () => {
  const linesFor = (more: Partial<Parameters<typeof clientText>[0]>) =>
    clientText({ ...CLIENT, dns: null, ...more }).split("\n");
  const plain = linesFor({});
  assertEquals(plain.slice(0, 4), ["[Interface]", plain[1]!, "Address = 10.66.77.2/32", ""]);
  assertEquals(linesFor({ mtu: 1280, transport: "faketcp" }).slice(3, 5), [
    "MTU = 1280",
    "Transport = faketcp",
  ]);
  assertEquals(linesFor({ transport: "auto" }), plain);
});

Deno.test("clientText() leaves out a preshared key that there is none of", () => {
  assertEquals(clientText({ ...CLIENT, presharedKey: null }).includes("Preshared"), false);
});

Deno.test("with IPv6 inside, both ends' files have addresses of both families", () => {
  const privateKey = decodeKey(SERVER_KEYS.privateKey)!;
  const address = { address: 0x0a424d01, prefixLength: 24 };
  const text = serverFileText({
    controlGroup: null,
    privateKey,
    address,
    address6: "fd12:3456:789a::1/64",
    endpoint: ENDPOINT,
  });
  const peer = `[Peer]\nPublicKey = ${sampleKeys(2).publicKey}\nAllowedIPs = fd12:3456:789a::2\n`;
  const server = validateServer(read(text + peer));
  assertEquals([server.warnings, server.notes], [[], []]);
  assertEquals(server.interface.addresses6, ["fd12:3456:789a::1/64"]);
  assertEquals(server.peers[0]!.allowedIps6, ["fd12:3456:789a::2/128"]);
  const client = validateClient(read(clientText({
    ...CLIENT,
    privateKey: encodeKey(new Uint8Array(32).fill(0x55)),
    addresses: ["10.66.77.2/32", "fd12:3456:789a::2/128"],
    dns: null,
  })));
  assertEquals([client.warnings, client.notes], [[], []]);
  assertEquals(client.interface.addresses6, ["fd12:3456:789a::2/128"]);
  assertEquals(client.allowedIps6, ["::/0"]);
});

Deno.test("clientText() has a line for each endpoint, and says who takes but one", () => {
  const text = clientText({ ...CLIENT, endpoint: "vpn.example.org:443, [2001:db8::1]:51820" });
  const client = validateClient(parseConfig(text, "laptop.conf"));
  assertEquals(client.endpoints.map(formatEndpoint), [
    "vpn.example.org:443",
    "[2001:db8::1]:51820",
  ]);
  assertEquals(client.warnings, []);
  assertEquals(text.split("\n").filter((line) => line.startsWith("#")).length, 1);
});
