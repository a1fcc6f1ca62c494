/** Shows what every key of a configuration means, and the defaults. */
import type { Config, DnsResolver } from "../../../../lib/core/config/config.ts";
import { decodeKey, encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { INTERFACE_KEYS, PEER_KEYS } from "../../../../lib/core/config/values/keys.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { MAX_PEERS } from "../../../../lib/core/limits/max_peers.ts";
import { type Ipv4Prefix, parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { NEXT_KEY_CASES } from "../../../support/config/next_key_cases.ts";
import { plainForward } from "../../../support/config/plain_forward.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { PLAIN_LINES } from "../../../support/config/plain_lines.ts";

const OWN = sampleKeys(1);
const PEER = sampleKeys(2);
const OTHER = sampleKeys(3);

/** A resolver that is asked by TLS where it has a name. */
function resolver(address: string, tlsName: string | null = null): DnsResolver {
  return { address: ipv4(address), tlsName };
}

function ipv4(text: string): number {
  return parseIpv4(text)!;
}

function prefix(address: number, prefixLength: number): Ipv4Prefix {
  return { address, prefixLength };
}

/** Parses the lines as an `[Interface]` section with a private key. */
function parseInterface(...lines: string[]): Config {
  return parseConfig(
    ["[Interface]", `PrivateKey = ${OWN.privateKey}`, ...lines].join("\n"),
    "t.conf",
  );
}

/** Parses the lines as a `[Peer]` section with a public key. */
function parsePeer(...lines: string[]): Config {
  return parseInterface("[Peer]", `PublicKey = ${PEER.publicKey}`, ...lines);
}

Deno.test("parseConfig() fills in the defaults when a file says the least it can", () => {
  assertEquals(parseInterface(), {
    fileName: "t.conf",
    interface: {
      privateKey: decodeKey(OWN.privateKey)!,
      publicKey: decodeKey(OWN.publicKey)!,
      listenPort: null,
      addresses: [],
      addresses6: [],
      dns: [],
      dns6: [],
      dnsSearch: [],
      mtu: null,
      table: "auto",
      fwMark: null,
      preUp: [],
      postUp: [],
      preDown: [],
      postDown: [],
      publicEndpoint: null,
      egress: "raw",
      egressInterface: null,
      egress6: "nat",
      egressAllow: [],
      egressDeny: [],
      natPorts: { first: 20000, last: 29999 },
      natFiltering: "endpoint",
      capture: "packet",
      clientToClient: true,
      dnsProxy: [],
      dnsDomain: null,
      dnsRoutes: [],
      dnsBlock: [],
      dnsQueryLog: false,
      flowLog: false,
      webhooks: [],
      webhookSecret: null,
      controlGroup: null,
      store: [],
      storeCredentials: null,
      storeCa: null,
      storeGrace: 86_400_000,
      virtualAddress: null,
      forwards: [],
      forwards6: [],
      transport: "udp",
      connectTimeout: 2500,
      peerTimeout: 6000,
      releaseAfter: 180_000,
      onPeerTimeout: "reconnect",
      killSwitch: false,
      allowIpv6: false,
      aead: "auto",
      dataPlaneThreads: "auto",
      metrics: null,
      lines: new Map([["PrivateKey", 2]]),
    },
    peers: [],
    groups: [],
    warnings: [],
    notes: [],
  });
  assertEquals(parsePeer().peers, [{
    publicKey: decodeKey(PEER.publicKey)!,
    presharedKey: null,
    allowedIps: [],
    allowedIps6: [],
    endpoint: null,
    otherEndpoints: [],
    zonedEndpoint: null,
    persistentKeepalive: 0,
    name: null,
    rateLimit: null,
    quota: null,
    quotaRate: null,
    nextKey: null,
    ...{ groups: [], allow: [], deny: [], isEnabled: true },
    expires: null,
    line: 3,
  }]);
});

Deno.test("parseConfig() ends soon, whatever a value that is as long as the file may be is made of", () => {
  const value = ":".repeat(600_000);
  for (const key of Object.keys(INTERFACE_KEYS)) parsed(`[Interface]\n${key} = ${value}`);
  for (const key of Object.keys(PEER_KEYS)) parsed(`[Interface]\n[Peer]\n${key} = ${value}x`);
  parsed(`[Interface]\nDNS = ${"1.1.1.1,".repeat(130_000)}x:x`);

  function parsed(text: string): void {
    assertThrows(() => parseConfig(text, "a.conf"), ConfigError);
  }
});

Deno.test("parseConfig() reads every key of [Interface]", () => {
  const forward = (protocol: "tcp" | "udp", externalPort: number, port: number) => ({
    forwards: [plainForward(protocol, externalPort, ipv4("10.66.77.2"), port)],
  });
  const cases: [line: string, expected: Partial<Config["interface"]>][] = [
    ["ListenPort = 51820", { listenPort: 51820 }],
    ["ListenPort = 0", { listenPort: 0 }],
    ["ListenPort = 65535", { listenPort: 65535 }],
    ["Address = 10.66.77.1/24", { addresses: [prefix(ipv4("10.66.77.1"), 24)] }],
    ["Address = 10.66.77.1", { addresses: [prefix(ipv4("10.66.77.1"), 32)] }],
    ["Address = FD00:0::1/64", { addresses6: ["fd00::1/64"] }],
    ["Address = fd00::1", { addresses6: ["fd00::1/128"] }],
    ["DNS = 9.9.9.9", { dns: [ipv4("9.9.9.9")] }],
    ["DNS = 2620:FE::FE", { dns6: ["2620:fe::fe"] }],
    ["DNS = corp.example, ~., ~lan", { dnsSearch: ["corp.example", "~.", "~lan"] }],
    ["MTU = Auto", { mtu: "auto" }],
    ["MTU = 65455", { mtu: 65455 }],
    ["Table = off", { table: "off" }],
    ["Table = AUTO", { table: "auto" }],
    ["Table = 1000", { table: 1000 }],
    ["FwMark = off", { fwMark: 0 }],
    ["FwMark = 51820", { fwMark: 51820 }],
    ["FwMark = 0xCA6C", { fwMark: 0xca6c }],
    ["FwMark = 0xffffffff", { fwMark: 0xffffffff }],
    ["PreUp = echo a, b = %i", { preUp: [{ command: "echo a, b = %i", line: 3 }] }],
    ["PostUp = iptables -A x; true", { postUp: [{ command: "iptables -A x; true", line: 3 }] }],
    ["PreDown = a", { preDown: [{ command: "a", line: 3 }] }],
    ["PostDown = a", { postDown: [{ command: "a", line: 3 }] }],
    ["PublicEndpoint = 192.0.2.1:443", {
      publicEndpoint: { host: "192.0.2.1", address: 0xc0000201, port: 443 },
    }],
    ["Egress = raw", { egress: "raw" }],
    ["Egress = Kernel", { egress: "kernel" }],
    ["Egress = off", { egress: "off" }],
    ["Egress6 = routed", { egress6: "routed" }],
    ["EgressInterface = eth0", { egressInterface: "eth0" }],
    ["EgressAllow = lan", { egressAllow: ["lan"] }],
    ["EgressAllow = LAN, 10.20.30.40/16", { egressAllow: ["lan", prefix(ipv4("10.20.0.0"), 16)] }],
    ["EgressDeny = 198.51.100.7", { egressDeny: [prefix(ipv4("198.51.100.7"), 32)] }],
    ["EgressDeny = 0.0.0.0/0", { egressDeny: [{ address: 0, prefixLength: 0 }] }],
    ["NatPorts = 1024-65535", { natPorts: { first: 1024, last: 65535 } }],
    ["NatPorts = 5 - 5", { natPorts: { first: 5, last: 5 } }],
    ["DnsDomain = VPN.", { dnsDomain: "vpn" }],
    ["DnsDomain = b\u00fcro.example", { dnsDomain: "xn--bro-hoa.example" }],
    ["DnsRoute = Corp.Example. -> 10.20.0.53, 10.20.0.54", {
      dnsRoutes: [{
        domain: "corp.example",
        upstreams: [resolver("10.20.0.53"), resolver("10.20.0.54")],
      }],
    }],
    ["Capture = nfqueue", { capture: "nfqueue" }],
    ["Capture = packet", { capture: "packet" }],
    ["ClientToClient = off", { clientToClient: false }],
    ["ClientToClient = on", { clientToClient: true }],
    ["DnsProxy = 1.1.1.1, 9.9.9.9", { dnsProxy: [resolver("1.1.1.1"), resolver("9.9.9.9")] }],
    ["DnsProxy = TLS://bücher.example@9.9.9.9, 1.1.1.1", {
      dnsProxy: [resolver("9.9.9.9", "xn--bcher-kva.example"), resolver("1.1.1.1")],
    }],
    ...PLAIN_LINES,
    ["Transport = udp", { transport: "udp" }],
    ["Transport = faketcp", { transport: "faketcp" }],
    ["Transport = auto", { transport: "auto" }],
    ["ConnectTimeout = 0.1", { connectTimeout: 100 }],
    ["ConnectTimeout = 60", { connectTimeout: 60_000 }],
    ["PeerTimeout = 2.5", { peerTimeout: 2500 }],
    ["PeerTimeout = 3600", { peerTimeout: 3_600_000, releaseAfter: 3_600_000 }],
    ["ReleaseAfter = 6", { releaseAfter: 6000 }],
    ["ReleaseAfter = 86400", { releaseAfter: 86_400_000 }],
    ["OnPeerTimeout = exit", { onPeerTimeout: "exit" }],
    ["OnPeerTimeout = reconnect", { onPeerTimeout: "reconnect" }],
    ["AllowIPv6 = on", { allowIpv6: true }],
    ...(["ipsec-mb", "boringssl", "libcrypto", "builtin", "auto"] as const).map((aead) =>
      [`Aead = ${aead}`, { aead }] as [string, { aead: typeof aead }]
    ),
    ["DataPlaneThreads = auto", { dataPlaneThreads: "auto" }],
    ["DataPlaneThreads = 15", { dataPlaneThreads: 15 }],
    ["Metrics = 127.0.0.1:9586", { metrics: { address: ipv4("127.0.0.1"), port: 9586 } }],
    ["Metrics = 10.66.77.1:1", { metrics: { address: ipv4("10.66.77.1"), port: 1 } }],
    ["Metrics = 0.0.0.0:65535", { metrics: { address: 0, port: 65535 } }],
    ["Forward = tcp:8080 -> 10.66.77.2:80", forward("tcp", 8080, 80)],
    ["Forward = UDP:53->10.66.77.2:5353", forward("udp", 53, 5353)],
    ["Forward6 = TCP:80->[FD00:0::2]:81", {
      forwards6: [{ protocol: "tcp", externalPort: 80, address: "fd00::2", port: 81 }],
    }],
    ["SaveConfig = false", {}],
  ];
  assertEquals(
    new Set(["PrivateKey", ...cases.map(([line]) => line.split(" ")[0]!)]),
    new Set(Object.keys(INTERFACE_KEYS)),
  );
  const plain = parseInterface().interface;
  for (const [line, expected] of cases) {
    const key = line.slice(0, line.indexOf(" "));
    const lines = new Map([["PrivateKey", 2], [key, 3]]);
    assertEquals(parseInterface(line).interface, { ...plain, ...expected, lines }, line);
  }
});

Deno.test("parseConfig() reads every key of [Peer]", () => {
  const endpoint = (host: string, address: string | null, port: number) => ({
    endpoint: { host, address: address === null ? null : ipv4(address), port },
  });
  const cases: [line: string, expected: Partial<Config["peers"][number]>][] = [
    [`PresharedKey = ${OTHER.privateKey}`, { presharedKey: decodeKey(OTHER.privateKey)! }],
    ...NEXT_KEY_CASES,
    ["AllowedIPs = 0.0.0.0/0", { allowedIps: [{ address: 0, prefixLength: 0 }] }],
    // Host bits are cleared.
    ["AllowedIPs = 10.66.77.9/24", { allowedIps: [prefix(ipv4("10.66.77.0"), 24)] }],
    ["AllowedIPs = 192.168.1.1", { allowedIps: [prefix(ipv4("192.168.1.1"), 32)] }],
    ["AllowedIPs = ::/0", { allowedIps6: ["::/0"] }],
    ["AllowedIPs =", {}],
    ["Endpoint = 192.0.2.1:51820", endpoint("192.0.2.1", "192.0.2.1", 51820)],
    ["Endpoint = 127.0.0.1:1", endpoint("127.0.0.1", "127.0.0.1", 1)],
    ["Endpoint = vpn.example.org:443", endpoint("vpn.example.org", null, 443)],
    ["Endpoint = localhost:65535", endpoint("localhost", null, 65535)],
    ["PersistentKeepalive = 25", { persistentKeepalive: 25 }],
    ["PersistentKeepalive = off", { persistentKeepalive: 0 }],
    ["PersistentKeepalive = 65535", { persistentKeepalive: 65535 }],
    ["Name = laptop.anna", { name: "laptop.anna" }],
    ["RateLimit = 64000", { rateLimit: 64_000 }],
    ["RateLimit = 500k", { rateLimit: 500_000 }],
    ["RateLimit = 10M", { rateLimit: 10_000_000 }],
    ["RateLimit = 1.5 g", { rateLimit: 1_500_000_000 }],
    ["RateLimit = off", { rateLimit: null }],
    ["Quota = 100G/month", { quota: { bytes: 1e11, period: "month" } }],
    ["Quota = 1.5 t / Day", { quota: { bytes: 1.5e12, period: "day" } }],
    ["Quota = 5000000", { quota: { bytes: 5e6, period: "total" } }],
    ["Quota = 1M/total", { quota: { bytes: 1e6, period: "total" } }],
    ["Quota = off", { quota: null }],
    ["QuotaRate = 1M", { quotaRate: 1_000_000 }],
    ["Enabled = yes", { isEnabled: true }],
    ["Enabled = No", { isEnabled: false }],
    ["Expires = 2027-01-31T18:00:00Z", { expires: Date.UTC(2027, 0, 31, 18) }],
    ["Expires = 2027-01-31", { expires: Date.UTC(2027, 0, 31) }],
  ];
  assertEquals(
    new Set(cases.map(([line]) => line.split(" ")[0]!)),
    new Set(Object.keys(PEER_KEYS)).difference(new Set(["PublicKey", "Groups", "Allow", "Deny"])),
  );
  const plain = parsePeer().peers[0]!;
  for (const [line, expected] of cases) {
    assertEquals(parsePeer(line).peers, [{ ...plain, ...expected }], line);
  }
});

Deno.test("parseConfig() takes names in any capitals, comments anywhere, CRLF and a byte order mark", () => {
  const text = [
    "\ufeff# a gateway",
    "  [ interface ] # ours",
    `privatekey=${OWN.privateKey}# secret`,
    "",
    "\tLISTENPORT =\t1234  # = 5",
    "PostUp = echo 'one' # two",
    "[PEER]",
    `PUBLICKEY = ${PEER.publicKey}`,
    "allowedips=10.0.0.2/32",
    "[Peer]",
    `PublicKey = ${OTHER.publicKey}`,
  ].join("\r\n");
  const config = parseConfig(text, "t.conf");
  assertEquals(config.interface.privateKey, decodeKey(OWN.privateKey)!);
  assertEquals(config.interface.listenPort, 1234);
  assertEquals(config.interface.postUp, [{ command: "echo 'one'", line: 6 }]);
  assertEquals(config.peers.map(({ line }) => line), [7, 10]);
  assertEquals(config.peers[0]!.allowedIps, [prefix(ipv4("10.0.0.2"), 32)]);
});

Deno.test("parseConfig() reads peers when they stand before [Interface]", () => {
  const text = `[Peer]\nPublicKey = ${PEER.publicKey}\n[Interface]\nPrivateKey = ${OWN.privateKey}`;
  assertEquals(parseConfig(text, "t.conf").peers.length, 1);
});

Deno.test("parseConfig() refuses more peers than there can be, and counts neither one that is repeated nor the own key", () => {
  const peers = (count: number) =>
    Array.from({ length: count }, (_, i) => {
      const key = new Uint8Array(32);
      new DataView(key.buffer).setUint32(0, i);
      return ["[Peer]", `PublicKey = ${encodeKey(key)}`];
    }).flat();
  const others = ["[Peer]", `PublicKey = ${OWN.publicKey}`, ...peers(1)];
  assertEquals(parseInterface(...peers(MAX_PEERS), ...others).peers.length, MAX_PEERS);
  assertThrows(
    () => parseInterface(...others, ...peers(MAX_PEERS + 2)),
    ConfigError,
    `t.conf:${3 + 4 + 2 * MAX_PEERS}: [Peer]: there are 8194 peers, and 8192 at most: remove some`,
  );
});

Deno.test("parseConfig() reads groups, wherever they stand, and who is in them", () => {
  const { peers, groups, warnings } = parsePeer(
    "Groups = staff, night-shift",
    "[Group]",
    "Name = staff",
    "[Peer]",
    `PublicKey = ${OTHER.publicKey}`,
    "[Peer]",
    `PublicKey = ${PEER.publicKey}`,
    "Groups = staff b\u00fcro",
    "[Group]",
    "Name = night-shift",
    "[Group]",
    "Name = b\u00fcro",
  );
  assertEquals(peers.map((peer) => peer.groups), [["staff", "night-shift", "b\u00fcro"], []]);
  assertEquals(groups, [
    { name: "staff", allow: [], deny: [], line: 6 },
    { name: "night-shift", allow: [], deny: [], line: 13 },
    { name: "b\u00fcro", allow: [], deny: [], line: 15 },
  ]);
  assertEquals(warnings, []);
});

Deno.test("parseConfig() gathers values when a key that repeats is repeated", () => {
  const config = parseInterface(
    "Address = 10.0.0.1/24, 10.1.0.1/24",
    "Address = fd00::1/64 10.2.0.1/24",
    "DNS = 1.1.1.1",
    "DNS = 9.9.9.9, lan",
    "PostUp = a",
    "PostUp = b",
    "DnsProxy = 1.1.1.1",
    "DnsProxy = 9.9.9.9",
    "DnsRoute = corp.example -> 10.20.0.53",
    "DnsBlock = /a",
    "DnsBlock = /b",
    "DnsRoute = corp.example -> 10.20.0.54, 10.20.0.53",
    "DnsRoute = example -> 10.20.0.55",
    "Forward = tcp:80 -> 10.0.0.2:80",
    "Forward = udp:80 -> 10.0.0.2:80",
    "[Peer]",
    `PublicKey = ${PEER.publicKey}`,
    "AllowedIPs = 10.0.0.2/32, 10.0.9.0/24",
    "AllowedIPs = 10.0.8.0/24, 10.0.9.3/24",
  );
  assertEquals(config.interface.addresses.map(({ address }) => address), [
    ipv4("10.0.0.1"),
    ipv4("10.1.0.1"),
    ipv4("10.2.0.1"),
  ]);
  assertEquals(config.interface.dns, [ipv4("1.1.1.1"), ipv4("9.9.9.9")]);
  assertEquals(config.interface.dnsSearch, ["lan"]);
  assertEquals(config.interface.postUp, [{ command: "a", line: 7 }, { command: "b", line: 8 }]);
  assertEquals(config.interface.dnsProxy, [resolver("1.1.1.1"), resolver("9.9.9.9")]);
  assertEquals(config.interface.dnsBlock, ["/a", "/b"]);
  assertEquals(config.interface.dnsRoutes, [
    { domain: "corp.example", upstreams: [resolver("10.20.0.53"), resolver("10.20.0.54")] },
    { domain: "example", upstreams: [resolver("10.20.0.55")] },
  ]);
  assertEquals(config.interface.forwards.map(({ protocol }) => protocol), ["tcp", "udp"]);
  // A network that a peer repeats is taken once.
  assertEquals(config.peers[0]!.allowedIps.map(({ address }) => address), [
    ipv4("10.0.0.2"),
    ipv4("10.0.9.0"),
    ipv4("10.0.8.0"),
  ]);
});

Deno.test("parseConfig() warns when SaveConfig is on", () => {
  assertEquals(parseInterface("SaveConfig = true").warnings, [
    "t.conf:3: SaveConfig: has no effect: vpn never rewrites this file at the end of a run",
  ]);
  assertEquals(parseInterface("SaveConfig = false").warnings, []);
});
