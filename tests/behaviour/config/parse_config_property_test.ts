/** Shows that no text, however odd, gets more than a one-line refusal out of the parser, and never a key. */
import fc from "../../support/property.ts";
import { ConfigError } from "../../../lib/core/config/config_error.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { INTERFACE_KEYS, PEER_KEYS } from "../../../lib/core/config/values/keys.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { validateClient, validateServer } from "../../../lib/core/config/roles.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const SEED = 20_260_601;

/** A key as text. */
const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => encodeKey(bytes));

/** Something that could stand behind "=", from right to absurd. */
const value = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  key,
  fc.integer().map(String),
  fc.ipV4(),
  fc.ipV6(),
  fc.tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(140)).map((parts) => parts.join("/")),
  fc.tuple(fc.domain(), fc.nat(70_000)).map((parts) => parts.join(":")),
  fc.constantFrom("on", "off", "auto", "tcp:1 -> 10.0.0.2:80", "20000-29999", "10M", "0xff"),
);

const line = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom("[Interface]", "[Peer]", "", "# comment") },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  {
    weight: 6,
    arbitrary: fc.tuple(
      fc.constantFrom(...Object.keys(INTERFACE_KEYS), ...Object.keys(PEER_KEYS)),
      value,
    ).map((parts) => parts.join(" = ")),
  },
);

const GOOD_FILE = `# every key
[Interface]
PrivateKey = ${encodeKey(new Uint8Array(32).fill(1))}
ListenPort = 51820
Address = 10.66.77.2/24, fd00::2/64
DNS = 9.9.9.9, 2620:fe::fe, lan
MTU = 1420
Table = auto
FwMark = 0xca6c
PreUp = true
PostUp = echo %i
PreDown = true
PostDown = true
SaveConfig = false
Egress = raw
EgressInterface = eth0
EgressAllow = lan, 10.20.0.0/16
EgressDeny = 198.51.100.0/24
NatPorts = 20000-29999
NatFiltering = endpoint
Capture = packet
ClientToClient = on
DnsProxy = 1.1.1.1, 9.9.9.9
DnsDomain = vpn
DnsRoute = corp.example -> 10.20.0.53
DnsBlock = /etc/vpn/ads.txt
DnsQueryLog = on
FlowLog = on
Webhook = https://hooks.example.org/vpn
WebhookSecret = whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
ControlGroup = vpn-console
StoreCredentials = /etc/vpn/store.nk
StoreCA = /etc/vpn/store-ca.pem
StoreGrace = 24h
VirtualAddress = 203.0.113.5/24
Forward = tcp:8080 -> 10.66.77.2:80
Transport = auto
ConnectTimeout = 2.5
PeerTimeout = 6
ReleaseAfter = 180
OnPeerTimeout = reconnect
KillSwitch = off
AllowIPv6 = off
Aead = auto

[Peer]
PublicKey = ${encodeKey(new Uint8Array(32).fill(2))}
PresharedKey = ${encodeKey(new Uint8Array(32).fill(3))}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = vpn.example.org:51820
PersistentKeepalive = 25
Name = gateway
RateLimit = 10M
Groups = staff
Enabled = yes
Expires = 2127-01-31T18:00:00Z

[Group]
Name = staff
`;

/** Whatever happens to `text` as a configuration; `undefined` if it is taken. */
function outcome(text: string): unknown {
  try {
    const config = parseConfig(text, "f.conf");
    validateServer(config);
    validateClient(config);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Every refusal is a ConfigError of one line that begins with the file's name. */
function assertGoodOutcome(error: unknown): void {
  if (error === undefined) return;
  assert(error instanceof ConfigError, String(error));
  assert(/^f\.conf:(\d+:)? [\x20-\x7e\u00a1-\u{10ffff}]+$/u.test(error.message), error.message);
}

Deno.test("parseConfig() throws nothing but a ConfigError of one line when given any text", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" })), (text) => {
      assertGoodOutcome(outcome(text));
    }),
    { seed: SEED, numRuns: 500 },
  );
});

Deno.test("parseConfig() throws nothing but a ConfigError of one line when given any lines", () => {
  fc.assert(
    fc.property(key, fc.array(line, { maxLength: 12 }), (privateKey, lines) => {
      assertGoodOutcome(
        outcome(["[Interface]", `PrivateKey = ${privateKey}`, ...lines].join("\n")),
      );
    }),
    { seed: SEED, numRuns: 2000 },
  );
});

Deno.test("parseConfig() throws nothing but a ConfigError of one line when a good file is damaged", () => {
  assertEquals(outcome(GOOD_FILE), undefined);
  const damage = fc.record({
    at: fc.nat(GOOD_FILE.length),
    removed: fc.nat(4),
    added: fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom("#", "\n", "=", "[", "0", " ")),
  });
  let taken = 0;
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (damages) => {
      const text = damages.reduce(
        (text, { at, removed, added }) => text.slice(0, at) + added + text.slice(at + removed),
        GOOD_FILE,
      );
      const error = outcome(text);
      if (error === undefined) taken++;
      assertGoodOutcome(error);
    }),
    { seed: SEED, numRuns: 3000 },
  );
  // Both kinds must occur, or the damage is too slight or too great to show anything.
  assert(taken > 100 && taken < 2900, `${taken} of 3000 taken`);
});

Deno.test("parseConfig() shows no part of a key in its message wherever the key stands", () => {
  const names = fc.constantFrom(
    ...Object.keys(INTERFACE_KEYS),
    ...Object.keys(PEER_KEYS),
    "Unknown",
    "[Interface",
    "[",
  );
  const template = fc.constantFrom(
    (name: string, text: string) => `${name} = ${text}`,
    (name: string, text: string) => `${name} = 10.0.0.1/24, ${text}`,
    (name: string, text: string) => `${name} ${text}`,
    (name: string, text: string) => `${name}${text}`,
    (_: string, text: string) => text,
    (_: string, text: string) => `[${text}]`,
    (_: string, text: string) => `[Peer]\n${text}`,
  );
  let refused = 0;
  fc.assert(
    fc.property(key, names, template, fc.nat(2), (text, name, make, cut) => {
      const error = outcome(`[Interface]\n${make(name, text.slice(cut))}`);
      assertGoodOutcome(error);
      if (!(error instanceof ConfigError)) return;
      refused++;
      for (let at = 0; at + 12 <= text.length; at++) {
        assert(!error.message.includes(text.slice(at, at + 12)), error.message);
      }
    }),
    { seed: SEED, numRuns: 1000 },
  );
  assert(refused > 500, `${refused}`);
});
