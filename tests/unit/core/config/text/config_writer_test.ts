/** Shows the configurations that we write, and that a peer more or less leaves all else in a file as it is. */
import type { Config } from "../../../../../lib/core/config/config.ts";
import {
  clientText,
  FULL_TUNNEL,
  type NewPeer,
  serverFileText,
  withoutPeer,
  withPeer,
} from "../../../../../lib/core/config/text/config_writer.ts";
import { decodeKey, encodeKey } from "../../../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../../../lib/core/config/parse_config.ts";
import { validateClient, validateServer } from "../../../../../lib/core/config/roles.ts";
import { assertEquals, assertThrows } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const SERVER_KEYS = sampleKeys(1);
const PEER: NewPeer = {
  name: "laptop",
  publicKey: decodeKey(sampleKeys(2).publicKey)!,
  presharedKey: new Uint8Array(32).fill(3),
  address: 0x0a424d02,
  address6: null,
  expires: null,
  groups: [],
};
const ENDPOINT = { host: "vpn.example.org", address: null, port: 443 };

/** Somebody's own file, as untidy as they are. */
const UNTIDY = `# my gateway
[interface]
  privatekey=${SERVER_KEYS.privateKey}   # secret
Address =   10.66.77.1/24
metrics = 127.0.0.1:9586

# --- computers ---

# Ann's
[Peer]
PublicKey = ${sampleKeys(4).publicKey}
# PersistentKeepalive = 25
AllowedIPs = 10.66.77.9/32

# --- phones ---


[Peer]
Name = phone
PublicKey = ${sampleKeys(5).publicKey}`;

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

Deno.test("withPeer() puts the peer at the end and leaves all before it as it is", () => {
  const text = withPeer(UNTIDY, PEER);
  assertEquals(text.startsWith(UNTIDY), true);
  assertEquals(
    text.slice(UNTIDY.length),
    `

[Peer]
Name = laptop
PublicKey = ${sampleKeys(2).publicKey}
PresharedKey = ${encodeKey(PEER.presharedKey)}
AllowedIPs = 10.66.77.2/32
`,
  );
  assertEquals(read(text).peers.map(({ name }) => name), ["Ann's", "phone", "laptop"]);
  assertEquals(read(text).interface.metrics, { address: 0x7f000001, port: 9586 });
});

Deno.test("withPeer() ends lines as the file does", () => {
  const dos = UNTIDY.replaceAll("\n", "\r\n");
  assertEquals(withPeer(dos, PEER), withPeer(UNTIDY, PEER).replaceAll("\n", "\r\n"));
});

Deno.test("withoutPeer() takes back what withPeer() did, whichever peers came between", () => {
  const before = `${UNTIDY}\n`;
  const one = withPeer(before, PEER);
  assertEquals(withoutPeer(one, read(one).peers[2]!), before);
  const other = {
    ...PEER,
    name: "other",
    publicKey: decodeKey(sampleKeys(6).publicKey)!,
    address: 9,
  };
  const two = withPeer(one, other);
  assertEquals(withoutPeer(two, read(two).peers[2]!), withPeer(before, other));
});

Deno.test("withoutPeer() takes the comment right above the peer along, and no other", () => {
  const text = withoutPeer(UNTIDY, read(UNTIDY).peers[0]!);
  assertEquals(
    text,
    UNTIDY.replace(/\n# Ann's[^]*9\/32\n/, ""),
  );
  assertEquals(text.includes("# --- computers ---"), true);
  assertEquals(text.includes("# --- phones ---"), true);
  assertEquals(text.includes("PersistentKeepalive"), false);
});

Deno.test("withoutPeer() removes the last peer of a file that does not end its last line", () => {
  const text = withoutPeer(UNTIDY, read(UNTIDY).peers[1]!);
  assertEquals(text, UNTIDY.replace(/\n\[Peer\]\nName = phone[^]*$/, ""));
});

Deno.test("withoutPeer() removes all sections of a peer that has several", () => {
  const one = withPeer(`${UNTIDY}\n`, PEER);
  const more = `${one}\n[peer]\nallowedips = 10.66.78.0/24\npublic key = ${
    sampleKeys(2).publicKey
  }\n`;
  const [, , peer] = read(more).peers;
  assertEquals(peer!.allowedIps.length, 2);
  assertEquals(withoutPeer(more, peer!), `${UNTIDY}\n`);
});

Deno.test("withoutPeer() throws when the text has no such peer", () => {
  const peer = { ...read(UNTIDY).peers[0]!, publicKey: new Uint8Array(32) };
  assertThrows(() => withoutPeer(UNTIDY, peer), RangeError, "AAAA");
});

const CLIENT = {
  privateKey: sampleKeys(2).privateKey,
  addresses: ["10.66.77.2/32"],
  dns: "10.66.77.1, example.org",
  mtu: null,
  transport: "udp",
  publicKey: SERVER_KEYS.publicKey,
  presharedKey: encodeKey(PEER.presharedKey),
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
PresharedKey = ${encodeKey(PEER.presharedKey)}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = vpn.example.org:443
PersistentKeepalive = 25
`,
  );
  const client = validateClient(parseConfig(text, "laptop.conf"));
  // What we write gives rise to no warning, its IPv6 included.
  assertEquals(client.warnings, []);
  assertEquals(client.interface.publicKey, PEER.publicKey);
  assertEquals(encodeKey(client.server.publicKey), SERVER_KEYS.publicKey);
  assertEquals(client.server.presharedKey, PEER.presharedKey);
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
  const peer = { ...PEER, address6: "fd12:3456:789a::2" };
  const server = validateServer(read(withPeer(text, peer)));
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
