/** Shows what a gateway and a client demand of a configuration. */
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { formatEndpoint } from "../../../../lib/core/config/text/config_writer.ts";
import { validateClient, validateServer } from "../../../../lib/core/config/roles.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

const HEAD = `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\n`;
const ADDRESS = "Address = 10.66.77.2/24\n";
const PEER = `[Peer]\nPublicKey = ${sampleKeys(2).publicKey}\nAllowedIPs = 10.66.77.0/24\n`;
const ENDPOINT = "Endpoint = vpn.example.org:51820\n";

Deno.test("validateServer() takes port 51820 when none is given", () => {
  assertEquals(validateServer(parseConfig(HEAD + ADDRESS, "s.conf")).listenPort, 51820);
  assertEquals(
    validateServer(parseConfig(`${HEAD}${ADDRESS}ListenPort = 0`, "s.conf")).listenPort,
    0,
  );
});

Deno.test("validateServer() throws when there is no IPv4 address", () => {
  for (const address of ["", "Address = fd00::1/64\n"]) {
    const error = assertThrows(
      () => validateServer(parseConfig(HEAD + address, "s.conf")),
      ConfigError,
    );
    assertEquals(
      error.message,
      "s.conf: [Interface]: Address is missing: a gateway needs an inner address, as in Address = 10.66.77.1/24",
    );
  }
});

Deno.test("validateServer() throws when the DNS proxy is to ask itself", () => {
  const text = `${HEAD}${ADDRESS}DnsProxy = 9.9.9.9, 10.66.77.2\n`;
  const error = assertThrows(() => validateServer(parseConfig(text, "s.conf")), ConfigError);
  assertEquals(
    error.message,
    's.conf:4: DnsProxy: cannot use "10.66.77.2": the DNS proxy itself uses this address: give another resolver, as in 9.9.9.9',
  );
});

Deno.test("validateServer() throws when the DNS proxy is to ask itself by IPv6", () => {
  const text = `${HEAD}Address = 10.66.77.2/24, fd00:77::1/64\nDnsProxy = fd00:77::2, fd00:77::1\n`;
  assertThrows(
    () => validateServer(parseConfig(text, "s.conf")),
    ConfigError,
    's.conf:4: DnsProxy: cannot use "fd00:77::1": the DNS proxy itself uses this address',
  );
});

Deno.test("validateServer() throws when the DNS proxy is to ask itself for the names of a domain", () => {
  const text = `${HEAD}${ADDRESS}DnsProxy = 9.9.9.9\nDnsRoute = a.example -> 10.66.77.2\n`;
  assertThrows(
    () => validateServer(parseConfig(text, "s.conf")),
    ConfigError,
    's.conf:5: DnsRoute: cannot use "10.66.77.2": the DNS proxy itself uses this address',
  );
});

Deno.test("validateServer() throws when webhooks have nothing to be signed with", () => {
  const text = `${HEAD}${ADDRESS}Webhook = https://hooks.example.org/\n`;
  assertThrows(
    () => validateServer(parseConfig(text, "s.conf")),
    ConfigError,
    "s.conf:4: Webhook: WebhookSecret is missing: create one with `vpn genpsk`",
  );
});

Deno.test("validateServer() warns when there is no DNS proxy to answer for a domain", () => {
  const text =
    `${HEAD}${ADDRESS}DnsDomain = vpn\nDnsRoute = a.example -> 10.0.0.1\nDnsQueryLog = on\n`;
  assertEquals(validateServer(parseConfig(text, "s.conf")).warnings, [
    "s.conf:4: DnsDomain: has no effect on a gateway without DnsProxy",
    "s.conf:5: DnsRoute: has no effect on a gateway without DnsProxy",
    "s.conf:6: DnsQueryLog: has no effect on a gateway without DnsProxy",
  ]);
});

Deno.test("validateServer() warns when a key is a client's", () => {
  const lines =
    "DNS = 1.1.1.1\nConnectTimeout = 1\nOnPeerTimeout = exit\nKillSwitch = on\nAllowIPv6 = on";
  assertEquals(
    validateServer(parseConfig(`${HEAD}${ADDRESS}${lines}`, "s.conf")).warnings,
    ["DNS", "ConnectTimeout", "OnPeerTimeout", "KillSwitch", "AllowIPv6"].map((key, index) =>
      `s.conf:${index + 4}: ${key}: has no effect on a gateway`
    ),
  );
});

Deno.test("validateClient() warns when a peer's access is to end, and takes it all the same", () => {
  const text = `${HEAD}${ADDRESS}${PEER}${ENDPOINT}Enabled = no\n`;
  const { warnings, server } = validateClient(parseConfig(text, "c.conf"));
  assertEquals(warnings, [
    "c.conf:4: [Peer]: Enabled, Expires, Groups, Allow, Deny, Quota, QuotaRate and NextPublicKey have no effect on a client",
  ]);
  assertEquals(server.isEnabled, false);
});

Deno.test("validateServer() throws when metrics are to be on a port that its NAT has", () => {
  const validate = (...lines: string[]) =>
    validateServer(parseConfig(`${HEAD}${ADDRESS}${lines.join("\n")}`, "s.conf"));
  const nat = 'cannot use "127.0.0.1:25000": NatPorts, 20000-29999, uses that port: give another';
  const forward = 'cannot use "127.0.0.1:8080": a Forward uses that port: give another';
  const cases: [lines: string[], message: string][] = [
    [["Metrics = 127.0.0.1:25000"], `s.conf:4: Metrics: ${nat}`],
    [
      ["Forward = tcp:8080 -> 10.66.77.2:80", "Metrics = 127.0.0.1:8080"],
      `s.conf:5: Metrics: ${forward}`,
    ],
  ];
  for (const [lines, message] of cases) {
    assertEquals(assertThrows(() => validate(...lines), ConfigError).message, message);
  }
  for (const port of [19999, 30000]) validate(`Metrics = 127.0.0.1:${port}`);
  validate("Metrics = 127.0.0.1:25000", "Egress = kernel");
  validate("Metrics = 127.0.0.1:25000", "NatPorts = 30000-39999");
  validate("Metrics = 127.0.0.1:8080", "Forward = udp:8080 -> 10.66.77.2:80");
  validate("Metrics = 127.0.0.1:8080", "Forward = tcp:203.0.113.7:8080 -> 10.66.77.2:80");
});

Deno.test("validateServer() throws for a service's own address inside, and warns of a peer that is not there", () => {
  const validate = (...lines: string[]) =>
    validateServer(parseConfig(`${HEAD}${ADDRESS}${lines.join("\n")}`, "s.conf"));
  const inside = "Forward = tcp:10.66.77.9:443 -> 10.66.77.2:80";
  assertEquals(
    assertThrows(() => validate(inside), ConfigError).message,
    's.conf:4: Forward: cannot use "10.66.77.9": this address is inside the tunnel: give one outside, or none',
  );
  assertEquals(validate("Forward = tcp:443 -> web-1:80, 10.66.77.2:80").warnings, [
    's.conf:4: Forward: there is no peer "web-1": it serves nothing',
  ]);
});

Deno.test("validateServer() throws when it is to listen on a port that its NAT has, TCP's for fake TCP", () => {
  const validate = (...lines: string[]) =>
    validateServer(parseConfig(`${HEAD}${ADDRESS}${lines.join("\n")}`, "s.conf"));
  const forward = "Forward = tcp:51820 -> 10.66.77.2:80";
  const cases: [lines: string[], message: string][] = [
    [
      ["ListenPort = 20005"],
      's.conf:4: ListenPort: cannot use "20005": NatPorts, 20000-29999, uses that port: give another',
    ],
    [
      [forward, "Transport = auto"],
      's.conf: ListenPort: cannot use the default "51820": a Forward uses that port: give another',
    ],
  ];
  const virtual = ["Store = tls://a:4222", "VirtualAddress = 203.0.113.5/24"];
  for (const port of [0, 65_535]) {
    cases.push([
      [`ListenPort = ${port}`, ...virtual],
      `s.conf:4: ListenPort: cannot use "${port}": with VirtualAddress, it and the port behind it are the same at all ` +
      "gateways: give another",
    ]);
  }
  cases.push([
    ["ListenPort = 19999", ...virtual],
    's.conf:4: ListenPort: cannot use "20000": NatPorts, 20000-29999, uses that port: give another',
  ]);
  for (const [lines, message] of cases) {
    assertEquals(assertThrows(() => validate(...lines), ConfigError).message, message);
  }
  validate(forward);
  validate(...virtual);
  validate("ListenPort = 20005", "Egress = off");
});

Deno.test("validateClient() gives the server and any port when there is one peer with an endpoint", () => {
  const config = validateClient(parseConfig(HEAD + ADDRESS + PEER + ENDPOINT, "c.conf"));
  assertEquals(config.listenPort, 0);
  assertEquals(config.server.endpoint, { host: "vpn.example.org", address: null, port: 51820 });
  assertEquals(config.warnings, []);
});

Deno.test("validateClient() throws when something that it needs is missing", () => {
  const cases = {
    [HEAD + PEER + ENDPOINT]:
      "c.conf: [Interface]: Address is missing: a client needs an inner address, as in Address = 10.66.77.2/32",
    [HEAD + ADDRESS]: "c.conf: there is no [Peer] section: a client needs one for its server",
    [HEAD + ADDRESS + PEER]:
      "c.conf:4: [Peer]: Endpoint is missing: a client needs the address of its server, as in Endpoint = vpn.example.org:51820",
    [`${HEAD}${ADDRESS}${PEER}Endpoint = [fe80::1%eth0]:51820`]:
      'c.conf:4: [Peer]: Endpoint: cannot use "[fe80::1%eth0]:51820": a link-local address, or one with a zone, is not supported: give an address without one',
  };
  for (const [text, message] of Object.entries(cases)) {
    const error = assertThrows(() => validateClient(parseConfig(text, "c.conf")), ConfigError);
    assertEquals(error.message, message);
  }
});

Deno.test("validateClient() gives all endpoints of the server, in the order of the file, each once", () => {
  const lines = ["192.0.2.7:1", "b.example:2", "192.0.2.7:1", "[fe80::1%eth0]:3", "[2001:db8::1]:4"]
    .map((place) => `Endpoint = ${place}\n`).join("");
  const config = validateClient(parseConfig(HEAD + ADDRESS + PEER + lines, "c.conf"));
  assertEquals(config.endpoints.map(formatEndpoint), [
    "192.0.2.7:1",
    "b.example:2",
    "[2001:db8::1]:4",
  ]);
  assertEquals(config.server.endpoint, config.endpoints[0]);
  const at = PEER.split("\n").length + 3;
  assertEquals(config.warnings, [
    `c.conf:${at + 2}: Endpoint: has no effect: 192.0.2.7:1 is on line ${at} already`,
    `c.conf:${
      at + 3
    }: Endpoint: has no effect: a link-local address, or one with a zone, is not supported: give an address without one`,
  ]);
});

Deno.test("several endpoints of one that nobody watches are refused, and more than eight of a server", () => {
  const two = "Endpoint = 192.0.2.7:1\nEndpoint = 192.0.2.8:1\n";
  const refused = 'cannot use "192.0.2.8:1" besides "192.0.2.7:1": ';
  const ofGateway = assertThrows(
    () => validateServer(parseConfig(HEAD + ADDRESS + PEER + two, "s.conf")),
    ConfigError,
  );
  assertEquals(
    ofGateway.message,
    `s.conf:4: [Peer]: Endpoint: ${refused}a gateway calls a peer at one place; a client's file may list several gateways: keep one of them`,
  );
  const other = `[Peer]\nPublicKey = ${sampleKeys(9).publicKey}\n${two}`;
  const ofOther = assertThrows(
    () => validateClient(parseConfig(HEAD + ADDRESS + PEER + ENDPOINT + other, "c.conf")),
    ConfigError,
  );
  assertEquals(
    ofOther.message.replace(/^c\.conf:\d+/, "c.conf:LINE"),
    `c.conf:LINE: [Peer]: Endpoint: ${refused}a client changes over between places of its server alone, which is another [Peer]: keep one of them`,
  );
  const nine = Array.from({ length: 9 }, (_, i) => `Endpoint = 192.0.2.${i + 1}:1\n`).join("");
  const tooMany = assertThrows(
    () => parseConfig(HEAD + ADDRESS + PEER + nine, "c.conf"),
    ConfigError,
  );
  assertEquals(
    tooMany.message.replace(/^c\.conf:\d+/, "c.conf:LINE"),
    'c.conf:LINE: Endpoint: cannot use "192.0.2.9:1": a server has 8 endpoints at most: remove some',
  );
});

Deno.test("validateClient() connects to the first peer that everything goes to, or else the first that has a place", () => {
  const peer = (byte: number, ...lines: string[]) =>
    [`[Peer]`, `PublicKey = ${sampleKeys(byte).publicKey}`, ...lines, ""].join("\n");
  const office = peer(3, "AllowedIPs = 10.1.0.0/16", "Endpoint = 192.0.2.3:1");
  const halves = peer(4, "AllowedIPs = 0.0.0.0/1, 128.0.0.0/1", "Endpoint = 192.0.2.4:1");
  const all = peer(5, "AllowedIPs = 0.0.0.0/0", "Endpoint = 192.0.2.5:1");
  const friend = peer(6, "AllowedIPs = 10.2.0.0/16");
  const cases: [peers: string[], server: number][] = [
    [[office, friend], 3],
    [[friend, office], 3],
    [[office, halves, all], 4],
    [[friend, office, all], 5],
  ];
  for (const [peers, server] of cases) {
    const config = validateClient(parseConfig(HEAD + ADDRESS + peers.join(""), "c.conf"));
    assertEquals(config.server.endpoint.host, `192.0.2.${server}`);
    assertEquals(config.otherPeers.length, peers.length - 1);
    assertEquals(config.otherPeers.some(({ line }) => line === config.server.line), false);
    assertEquals(
      config.allowedIps.length,
      config.peers.reduce((sum, { allowedIps }) => sum + allowedIps.length, 0),
    );
  }
});

Deno.test("validateClient() and validateServer() warn of a peer that carries nothing", () => {
  const peer = `[Peer]\nPublicKey = ${sampleKeys(2).publicKey}\n`;
  const warning = ["c.conf:4: [Peer]: is not used: its AllowedIPs contain no IPv4 network"];
  for (const networks of ["", "AllowedIPs =\n", "AllowedIPs = ::/0\n"]) {
    const config = parseConfig(HEAD + ADDRESS + peer + networks + ENDPOINT, "c.conf");
    assertEquals(validateClient(config).warnings, warning);
    assertEquals(validateServer(config).warnings, warning);
  }
});

Deno.test("validateClient() warns when a key is a gateway's", () => {
  const lines = [
    "Egress = raw",
    "Egress6 = off",
    "EgressInterface = eth0",
    "EgressAllow = lan",
    "EgressDeny = 10.0.0.0/8",
    "NatPorts = 20000-29999",
    "NatFiltering = address",
    "Capture = packet",
    "ClientToClient = off",
    "DnsProxy = 1.1.1.1",
    "Forward = tcp:80 -> 10.66.77.2:80",
    "Forward6 = tcp:80 -> [fd00::2]:80",
    "ReleaseAfter = 60",
  ];
  const text = `${HEAD}${ADDRESS}${lines.join("\n")}\n${PEER}${ENDPOINT}`;
  assertEquals(
    validateClient(parseConfig(text, "c.conf")).warnings,
    lines.map((line, index) =>
      `c.conf:${index + 4}: ${line.split(" ")[0]}: has no effect on a client`
    ),
  );
});

Deno.test("validateServer() warns when it leads nowhere and is told where not to lead", () => {
  const text =
    `${HEAD}${ADDRESS}Egress = off\nEgressAllow = lan\nEgressDeny = 10.0.0.0/8\nEgress6 = nat\n`;
  assertEquals(validateServer(parseConfig(text, "c.conf")).warnings, [
    "c.conf:7: Egress6: has no effect on a gateway with Egress = off",
    "c.conf:5: EgressAllow: has no effect on a gateway with Egress = off",
    "c.conf:6: EgressDeny: has no effect on a gateway with Egress = off",
  ]);
  const address6 = ADDRESS.replace("\n", ", fd00::1/64\n");
  const shut = `${HEAD}${address6}Egress6 = off\nForward6 = tcp:80 -> [fd00::2]:80\n`;
  assertEquals(validateServer(parseConfig(shut, "c.conf")).warnings, [
    "c.conf:5: Forward6: has no effect on a gateway with Egress6 = off",
  ]);
  const four = parseConfig(`${HEAD}${ADDRESS}Egress6 = routed\n`, "c.conf");
  assertEquals(validateServer(four).warnings, [
    "c.conf:4: Egress6: has no effect on a gateway without an IPv6 Address",
  ]);
});

Deno.test("validateServer() refuses a Forward6 of the gateway's own port, by UDP and, with fake TCP, by TCP", () => {
  const validate = (...lines: string[]) =>
    validateServer(parseConfig(`${HEAD}${ADDRESS}${lines.join("\n")}\n`, "c.conf"));
  const why = (protocol: string) =>
    `c.conf:4: Forward6: cannot use "${protocol}:51820": the gateway listens on that port: give another`;
  const forward = (protocol: string) => `Forward6 = ${protocol}:51820 -> [fd00::2]:80`;
  assertThrows(() => validate(forward("udp")), ConfigError, why("udp"));
  assertThrows(() => validate(forward("tcp"), "Transport = auto"), ConfigError, why("tcp"));
  validate(forward("tcp"));
});
