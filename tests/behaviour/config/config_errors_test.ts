/** Shows the exact message for each mistake that a configuration can have. */
import { ConfigError } from "../../../lib/core/config/config_error.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { sampleKeys } from "../../support/config/sample_keys.ts";

const OWN = sampleKeys(1);
const PEER = sampleKeys(2);
const OTHER = sampleKeys(3);
const HEAD = `[Interface]\nPrivateKey = ${OWN.privateKey}\n`;
const TWO_PEERS = (first: string, second: string) =>
  `${HEAD}[Peer]\nPublicKey = ${PEER.publicKey}\n${first}\n[Peer]\nPublicKey = ${OTHER.publicKey}\n${second}`;

/** The message for `text` as `s.conf`. */
function messageOf(text: string): string {
  return assertThrows(() => parseConfig(text, "s.conf"), ConfigError).message;
}

Deno.test("parseConfig() names file, line, key, value and rule when a value of [Interface] is wrong", () => {
  const port = "a port is 1 to 65535";
  const address = "an address is ADDRESS/LENGTH, as in 10.66.77.1/24";
  const host = "a host cannot have this address";
  const mtu = 'an MTU is "auto", or 576 to 65455';
  const table = 'a table is "auto", "off", "main" or a number from 1 to 4294967295';
  const mark = 'a mark is "off" or a number up to 4294967295 or 0xffffffff';
  const range = "a range of ports is FIRST-LAST, as in 20000-29999, within 1 to 65535";
  const onOff = "allowed are on and off";
  const peerTimeout = "a time is 2 to 3600 seconds: shorter silences are normal on any path";
  const name = "an interface name has 1 to 15 letters, digits or characters of _ = + . -";
  const forward =
    "a forward is PROTOCOL:PORT -> ADDRESS:PORT, as in tcp:8080 -> 10.66.77.2:80 or " +
    "tcp:443 -> web-1:8443, web-2:8443 (least)";
  const metrics = "it must be an IPv4 address of this host and a port, as in 127.0.0.1:9586";
  const egressRule = "a network is lan or ADDRESS/LENGTH, as in 10.20.0.0/16";
  const neverForwarded = "such addresses are never forwarded: remove it";
  const dnsDomain = "a domain is a name, as in vpn or vpn.example.org";
  const resolver =
    "a resolver is an address, as in 9.9.9.9 or 2620:fe::fe, or tls://dns.quad9.net@9.9.9.9";
  const tlsName = "before the @ is the name in its certificate, as in tls://dns.quad9.net@9.9.9.9";
  const webhook = "a webhook is an address of HTTPS, as in https://hooks.example.org/vpn";
  const store = "a server is tls://HOST:PORT, or nats://HOST:PORT without encryption, as in " +
    "tls://nats-a.example.org:4222, tls://nats-b.example.org:4222";
  const storeGrace =
    "a time is a number with its unit, as in 24h, 30m or 7d, up to 3650d; 0 is for ever";
  const virtualAddress =
    "it is an IPv4 address with the length of the network that all gateways have an address in, " +
    "as in 203.0.113.5/24";
  const dnsRoute = "a route is DOMAIN -> RESOLVER, as in corp.example -> 10.20.0.53";
  const cases: [key: string, value: string, rule: string][] = [
    ["ListenPort", "70000", port],
    ["ListenPort", "-1", port],
    ["ListenPort", "", port],
    ["ListenPort", "5e3", port],
    ["ListenPort", "51820udp", port],
    ["ListenPort", "wireguard", port],
    ["Address", "10.66.77.1/33", address],
    ["Address", "10.66.77.256/24", address],
    ["Address", "10.66.77/24", address],
    ["Address", "10.66.77.1/255.255.255.0", address],
    ["Address", "10.66.77.1/", address],
    ["Address", "fd00::1/129", address],
    ["Address", "fd00::1::2/64", address],
    ["Address", "fd00::1/64/64", address],
    ["Address", "router", address],
    ["Address", "127.0.0.1/8", host],
    ["Address", "0.0.0.0/0", host],
    ["Address", "224.0.0.1/24", host],
    ["Address", "255.255.255.255/32", host],
    ["DNS", "1.1.1", "it must be an address or a search domain"],
    ["DNS", "not_a/domain", "it must be an address or a search domain"],
    ["MTU", "575", mtu],
    ["MTU", "65456", mtu],
    ["MTU", "any", mtu],
    ["Table", "vpn", table],
    ["Table", "0", table],
    ["Table", "4294967296", table],
    ["FwMark", "on", mark],
    ["FwMark", "0x100000000", mark],
    ["FwMark", "4294967296", mark],
    ["SaveConfig", "yes", "allowed are true and false"],
    ["Egress", "nat", "allowed are raw, kernel and off"],
    ["EgressAllow", "", egressRule],
    ["EgressAllow", "wan", egressRule],
    ["EgressAllow", "10.20.0.0/33", egressRule],
    ["EgressAllow", "169.254.169.254", neverForwarded],
    ["EgressAllow", "127.0.0.0/8", neverForwarded],
    ["EgressAllow", "224.0.0.0/24", neverForwarded],
    ["EgressDeny", "all", egressRule],
    ["EgressDeny", ",", egressRule],
    ["EgressInterface", "a name", name],
    ["EgressInterface", "sixteen-letters-", name],
    ["NatPorts", "20000", range],
    ["NatPorts", "0-5", range],
    ["NatPorts", "30000-20000", range],
    ["NatPorts", "1-65536", range],
    ["NatFiltering", "port", "allowed are endpoint and address"],
    ["Capture", "pcap", "allowed are packet and nfqueue"],
    ["ClientToClient", "yes", onOff],
    ["DnsQueryLog", "yes", onOff],
    ["FlowLog", "yes", onOff],
    ["DnsProxy", "dns.example", resolver],
    ...["fe80::1", "ff02::1", "::", "::ffff:9.9.9.9", "2620:fe::fe%eth0", "2620:fe::fe/128"]
      .map((value): [string, string, string] => ["DnsProxy", value, resolver]),
    [
      "DnsProxy",
      "::1",
      "give the resolvers that this one asks (`resolvectl dns`), as in 9.9.9.9",
    ],
    ["DnsProxy", "tls://9.9.9.9", resolver],
    ["DnsProxy", "tls://dns.quad9.net", resolver],
    ["DnsProxy", "https://dns.quad9.net@9.9.9.9", resolver],
    ["DnsProxy", "tls://@9.9.9.9", tlsName],
    ["DnsProxy", "tls://dns..quad9@9.9.9.9", tlsName],
    [
      "DnsProxy",
      "127.0.0.53",
      "give the resolvers that this one asks (`resolvectl dns`), as in 9.9.9.9",
    ],
    ["Forward", "8080 -> 10.66.77.2:80", forward],
    ["Forward", "sctp:1 -> 10.66.77.2:80", forward],
    ["Forward", "tcp:1 -> 10.66.77.2", forward],
    ["Forward", "tcp:1 -> 10.66.77.3:80,", forward],
    ["Forward", "tcp:0 -> 10.66.77.2:80", port],
    ["Forward", "tcp:80 -> 10.66.77.2:0", port],
    ["DnsDomain", "", dnsDomain],
    ["DnsDomain", "a..b", dnsDomain],
    ["DnsBlock", "", "give the path of a file"],
    ["Webhook", "http://hooks.example.org/", webhook],
    ["Webhook", "ftp://hooks.example.org/", webhook],
    ["Webhook", "hooks.example.org", webhook],
    ["Webhook", "https://user:password@hooks.example.org/", webhook],
    ["Store", "nats-a:4222", store],
    ["Store", "http://nats-a:4222", store],
    ["Store", "tls://nats-a:0", store],
    ["Store", "tls://user:password@nats-a:4222", store],
    ["Store", "tls://nats-a, nats://nats-b", store],
    ["StoreCredentials", "", "give the path of a file"],
    ["StoreGrace", "24", storeGrace],
    ["StoreGrace", "-1h", storeGrace],
    ["StoreGrace", "0h", storeGrace],
    ["VirtualAddress", "203.0.113.5", virtualAddress],
    ["VirtualAddress", "203.0.113.5/32", virtualAddress],
    ["VirtualAddress", "203.0.113.0/24", virtualAddress],
    ["VirtualAddress", "203.0.113.255/24", virtualAddress],
    ["VirtualAddress", "2001:db8::5/64", virtualAddress],
    ["VirtualAddress", "127.0.0.1/8", virtualAddress],
    ["DnsRoute", "corp.example", dnsRoute],
    ["DnsRoute", "-> 10.20.0.53", dnsRoute],
    ["DnsRoute", "corp.example ->", dnsRoute],
    ["DnsRoute", "corp/example -> 10.20.0.53", dnsRoute],
    ["Transport", "tcp", "allowed are udp, faketcp and auto"],
    ["ConnectTimeout", "0", "a time is 0.1 to 60 seconds"],
    ["ConnectTimeout", "2,5", "a time is 0.1 to 60 seconds"],
    ["ConnectTimeout", "1e1", "a time is 0.1 to 60 seconds"],
    ["PeerTimeout", "1.9", peerTimeout],
    ["PeerTimeout", "6s", peerTimeout],
    ["ReleaseAfter", "86401", "a time is 1 to 86400 seconds"],
    ["ReleaseAfter", "5", "it must be at least PeerTimeout, here 6 seconds"],
    ["OnPeerTimeout", "stop", "allowed are reconnect and exit"],
    ["KillSwitch", "true", onOff],
    ["AllowIPv6", "1", onOff],
    ["Aead", "openssl", "allowed are auto, ipsec-mb, boringssl, libcrypto and builtin"],
    ["Metrics", "", metrics],
    ["Metrics", "on", metrics],
    ["Metrics", "9586", metrics],
    ["Metrics", "127.0.0.1", metrics],
    ["Metrics", "localhost:9586", metrics],
    ["Metrics", "[::1]:9586", metrics],
    ["Metrics", "127.0.0.256:9586", metrics],
    ["Metrics", "127.0.0.1:9586/metrics", metrics],
    ["Metrics", "127.0.0.1:0", port],
    ["Metrics", "127.0.0.1:65536", port],
    ["Metrics", "224.0.0.1:9586", "no host can have this address"],
  ];
  for (const [key, value, rule] of cases) {
    assertEquals(
      messageOf(`${HEAD}${key} = ${value}`),
      `s.conf:3: ${key}: cannot use ${JSON.stringify(value)}: ${rule}`,
    );
  }
});

Deno.test("parseConfig() names file, line, key, value and rule when a value of [Peer] is wrong", () => {
  const network = "a network is ADDRESS/LENGTH, as in 10.66.77.0/24";
  const endpoint = "an endpoint is HOST:PORT, as in vpn.example.org:51820";
  const keepalive = 'a keepalive interval is "off" or 1 to 65535 seconds';
  const name =
    "a name has 1 to 63 letters, digits, blanks or characters of . , _ @ + - & ' ( ) and begins with a letter or digit";
  const moment = "a moment is a date, as in 2027-01-31, or has a time with its zone, as in " +
    "2027-01-31T18:00:00Z or 2027-01-31T18:00:00+01:00";
  const quota =
    'a quota is "off", or bytes and a period, as in 100G/month, 500M/day or 1T/total, from 1M to 1000T';
  const rate = 'a rate is "off" or bits a second, as in 500k, 10M or 1G, from 1k to 1000G';
  const cases: [key: string, value: string, rule: string][] = [
    ["AllowedIPs", "10.0.0.0/33", network],
    ["AllowedIPs", "any", network],
    ["AllowedIPs", "::/-1", network],
    ["Endpoint", "vpn.example.org", endpoint],
    ["Endpoint", ":51820", endpoint],
    ["Endpoint", "-vpn.example.org:51820", endpoint],
    ["Endpoint", "192.0.2:51820", endpoint],
    ["Endpoint", "192.0.2.256:51820", endpoint],
    ["Endpoint", "a:b:1", endpoint],
    ["Endpoint", "b\u00fccher/x.example:1", endpoint],
    ["Endpoint", "vpn.example.org:https", "a port is 1 to 65535"],
    ["Endpoint", "vpn.example.org:0", "a port is 1 to 65535"],
    ["Endpoint", "vpn.example.org:65536", "a port is 1 to 65535"],
    ["Endpoint", "0.0.0.0:51820", "no host can have this address"],
    ["Endpoint", "239.1.1.1:51820", "no host can have this address"],
    ["Endpoint", "[2001:db8::1]:0", "a port is 1 to 65535"],
    ["Endpoint", "[2001:db8::g]:51820", endpoint],
    ["Endpoint", "[::]:51820", "no host can have this address"],
    ["Endpoint", "[ff02::1]:51820", "no host can have this address"],
    ["Endpoint", "[::ffff:192.0.2.1]:51820", "this is an IPv4 address: write it as one"],
    ["PersistentKeepalive", "65536", keepalive],
    ["PersistentKeepalive", "25s", keepalive],
    ["Name", "", name],
    ["Name", "../../etc/passwd", name],
    ["Name", "two\tlines?", name],
    ["Name", "-x", name],
    ["Quota", "100", quota],
    ["Quota", "999k/day", quota],
    ["Quota", "1001T", quota],
    ["Quota", "10G/week", quota],
    ["Quota", "10G a month", quota],
    ["QuotaRate", "fast", rate],
    ["RateLimit", "10T", rate],
    ["RateLimit", "999", rate],
    ["RateLimit", "1001G", rate],
    ["RateLimit", "fast", rate],
    ["Enabled", "on", "allowed are yes and no"],
    ["Groups", "", "it names no group: name one, or remove the line"],
    ["Expires", "tomorrow", moment],
  ];
  for (const [key, value, rule] of cases) {
    assertEquals(
      messageOf(`${HEAD}[Peer]\nPublicKey = ${PEER.publicKey}\n${key} = ${value}`),
      `s.conf:5: ${key}: cannot use ${JSON.stringify(value)}: ${rule}`,
    );
  }
});

Deno.test("parseConfig() names the item when one of several is wrong", () => {
  assertEquals(
    messageOf(`${HEAD}Address = 10.0.0.1/24, 10.0.0.2/40`),
    's.conf:3: Address: cannot use "10.0.0.2/40": an address is ADDRESS/LENGTH, as in 10.66.77.1/24',
  );
});

Deno.test("parseConfig() tells the length and never the text when a key is wrong", () => {
  const cut = OWN.privateKey.slice(1);
  const cases = {
    [`[Interface]\nPrivateKey = ${cut}`]:
      "s.conf:2: PrivateKey: cannot use this value: a key is 44 characters of base64, this one has 43",
    [`[Interface]\nPrivateKey = ${cut}?`]:
      "s.conf:2: PrivateKey: cannot use this value: a key is 44 characters of base64, this one is not base64 of 32 bytes",
    [`[Interface]\nPrivateKey =`]:
      "s.conf:2: PrivateKey: cannot use this value: a key is 44 characters of base64, this one has 0",
    [`${HEAD}[Peer]\nPublicKey = short`]:
      "s.conf:4: PublicKey: cannot use this value: a key is 44 characters of base64, this one has 5",
    [`${HEAD}[Peer]\nPublicKey = ${PEER.publicKey}\nPresharedKey = x`]:
      "s.conf:5: PresharedKey: cannot use this value: a key is 44 characters of base64, this one has 1",
    // A key behind the wrong name, and one without a name.
    [`${HEAD}ListenPort = ${OWN.privateKey}`]:
      "s.conf:3: ListenPort: cannot use this value (not shown, it may hold a key): a port is 1 to 65535",
    [`[Interface]\nPrivateKey ${OWN.privateKey}`]:
      's.conf:2: cannot read this line: it is not of the form "Key = value"',
    [`[Interface]\n${OWN.privateKey}`]:
      's.conf:2: cannot read this line: it is not of the form "Key = value"',
    [`[${OWN.privateKey}]`]:
      "s.conf:1: unknown section this value (not shown, it may hold a key): there are [Interface], [Peer] and [Group]",
  };
  for (const [text, message] of Object.entries(cases)) assertEquals(messageOf(text), message);
});

Deno.test("parseConfig() names the line when it is no section, no key, or no known one", () => {
  const cases = {
    "": "s.conf: there is no [Interface] section",
    [`[Peer]\nPublicKey = ${PEER.publicKey}`]: "s.conf: there is no [Interface] section",
    "[Interface]\nListenPort = 1":
      "s.conf: [Interface]: PrivateKey is missing: create one with `vpn genkey`",
    [`${HEAD}[Peer]\nAllowedIPs = 10.0.0.0/8`]:
      "s.conf:3: [Peer]: PublicKey is missing: the other end prints it with `vpn pubkey`",
    "ListenPort = 1":
      's.conf:1: ListenPort is outside of a section: begin the file with a line "[Interface]"',
    "[Interface]\nListenPort 1":
      's.conf:2: cannot read this line: it is not of the form "Key = value"',
    "[Interface]\n= 1": 's.conf:2: cannot read this line: it is not of the form "Key = value"',
    "[Interface": 's.conf:1: cannot read "[Interface": a section begins with "[Name]"',
    "[Interface] x": 's.conf:1: cannot read "[Interface] x": a section begins with "[Name]"',
    "[Interfaec]": 's.conf:1: unknown section "Interfaec": did you mean "[Interface]"?',
    "[Peers]": 's.conf:1: unknown section "Peers": did you mean "[Peer]"?',
    "[Relay]": 's.conf:1: unknown section "Relay": there are [Interface], [Peer] and [Group]',
    "[]": 's.conf:1: unknown section "": there are [Interface], [Peer] and [Group]',
    [`${HEAD}ListenProt = 1`]: 's.conf:3: unknown key "ListenProt": did you mean "ListenPort"?',
    [`${HEAD}[Peer]\nPublicKey = ${PEER.publicKey}\nAlowedIP = 10.0.0.0/8`]:
      's.conf:5: unknown key "AlowedIP": did you mean "AllowedIPs"?',
    [`${HEAD}[Peer]\nWhatever = 1`]:
      's.conf:4: unknown key "Whatever": [Peer] has PublicKey, PresharedKey, AllowedIPs, Endpoint, PersistentKeepalive, Name, RateLimit, Quota, QuotaRate, Groups, Allow, Deny, Enabled, Expires, NextPublicKey, NextPresharedKey, KeyExpires',
    [`${HEAD}publickey = x`]: "s.conf:3: PublicKey belongs in section [Peer]",
    [`${HEAD}[Group]\nRateLimit = 1M`]: "s.conf:4: RateLimit belongs in section [Peer]",
    [`${HEAD}[Group]\nNamee = x`]: 's.conf:4: unknown key "Namee": did you mean "Name"?',
    [`${HEAD}[Group]`]: "s.conf:3: [Group]: Name is missing: it is what Groups of a peer refers to",
    [`${HEAD}[Group]\nName = a\n[Group]\nName = a`]:
      's.conf:6: Name: cannot use "a": the group on line 3 has this name',
    [`${HEAD}[Group]\nName = a b`]:
      's.conf:4: Name: cannot use "a b": a group\'s name has 1 to 63 letters, digits or characters of . _ - and ' +
      "begins with a letter or digit",
    [`${HEAD}[Group]\nName = staff\n[Peer]\nPublicKey = ${PEER.publicKey}\nGroups = staff, stuff`]:
      's.conf:7: Groups: cannot use "stuff": did you mean "staff"?',
    [`${HEAD}[Peer]\nPublicKey = ${PEER.publicKey}\nGroups = staff`]:
      's.conf:5: Groups: cannot use "staff": there is no [Group] with Name = staff',
    [`${HEAD}[Peer]\nDNS = x`]: "s.conf:4: DNS belongs in section [Interface]",
  };
  for (const [text, message] of Object.entries(cases)) assertEquals(messageOf(text), message);
});

Deno.test("parseConfig() names both lines when something is given or claimed twice", () => {
  const cases = {
    [`${HEAD}Forward = tcp:80 -> 10.0.0.2:80\nForward = tcp:80 -> 10.0.0.3:80`]:
      's.conf:4: Forward: cannot use "tcp:80 -> 10.0.0.3:80": line 3 forwards tcp port 80 already',
    [`${HEAD}Forward = tcp:80 -> 10.0.0.2:80\nForward = tcp:81 -> 10.0.0.2:80`]:
      's.conf:4: Forward: cannot use "tcp:81 -> 10.0.0.2:80": line 3 forwards tcp to 10.0.0.2:80 already',
    [`${HEAD}Forward = tcp:80 -> a:80, b:80\nForward = tcp:81 -> c:80, b:80`]:
      's.conf:4: Forward: cannot use "tcp:81 -> c:80, b:80": line 3 forwards tcp to b:80 already',
    [`${HEAD}Forward = tcp:203.0.113.7:80 -> a:80\nForward = tcp:80 -> b:80\nForward = tcp:203.0.113.7:80 -> c:80`]:
      's.conf:5: Forward: cannot use "tcp:203.0.113.7:80 -> c:80": line 3 forwards tcp 203.0.113.7:80 already',
    [`${HEAD}[Peer]\nPublicKey = ${OWN.publicKey}`]:
      "s.conf:4: PublicKey: this is the key of [Interface] itself: give the public key of the other end",
    [TWO_PEERS("Name = a", "Name = a")]:
      's.conf:8: Name: cannot use "a": the peer on line 3 has this name',
  };
  for (const [text, message] of Object.entries(cases)) assertEquals(messageOf(text), message);
});

Deno.test("parseConfig() reports the first when several lines of a section are wrong", () => {
  assertEquals(
    messageOf(`${HEAD}MTU = 1\nNope = 1\nListenPort = x`),
    `s.conf:3: MTU: cannot use "1": an MTU is "auto", or 576 to 65455`,
  );
});

Deno.test("parseConfig() keeps a message on one printable line when the value is hostile", () => {
  assertEquals(
    messageOf(`${HEAD}MTU = \u001b[2J\u0085\u2028${"x ".repeat(80)}`),
    `s.conf:3: MTU: cannot use "\\u001b[2J\\u0085\\u2028${
      "x ".repeat(25)
    }x...": an MTU is "auto", or 576 to 65455`,
  );
});
