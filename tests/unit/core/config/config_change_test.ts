/** Tests the difference of two configurations: applied to the one it makes the other, and it names nothing else. */
import { atOnce } from "../../../../lib/core/config/at_once.ts";
import fc from "../../../support/property.ts";
import type { Config } from "../../../../lib/core/config/config.ts";
import {
  changedConfig,
  changedKeys,
  configChange,
  ofKeys,
  SETTING_KEYS,
} from "../../../../lib/core/config/config_change.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { INTERFACE_KEYS } from "../../../../lib/core/config/values/keys.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

/** Values of each key of `[Interface]`, the first of which is none. */
const VALUES: Readonly<Record<string, readonly (string | null)[]>> = {
  PrivateKey: [1, 2].map((byte) => sampleKeys(byte).privateKey),
  ListenPort: [null, "51820", "1000"],
  Address: [null, "10.0.0.1/24", "10.0.0.1/24, 10.1.0.1/24", "10.0.0.1/24, fd00::1/64"],
  DNS: [null, "9.9.9.9", "9.9.9.9, lan", "9.9.9.9, 2620:fe::fe"],
  MTU: [null, "1400", "1300", "auto"],
  Table: [null, "off", "7"],
  FwMark: [null, "off", "9"],
  PreUp: [null, "true"],
  PostUp: [null, "true", "echo %i"],
  PreDown: [null, "true"],
  PostDown: [null, "true"],
  PublicEndpoint: [null, "vpn.example.org:1"],
  Egress: [null, "kernel", "off"],
  Egress6: [null, "routed", "off"],
  EgressInterface: [null, "eth0"],
  EgressAllow: [null, "lan", "lan, 10.20.0.0/16"],
  EgressDeny: [null, "198.51.100.0/24"],
  NatPorts: [null, "20000-20999"],
  NatFiltering: [null, "address"],
  Capture: [null, "nfqueue"],
  ClientToClient: [null, "off"],
  DnsProxy: [null, "1.1.1.1", "1.1.1.1, 9.9.9.9", "2620:fe::fe"],
  DnsDomain: [null, "vpn"],
  DnsBlock: [null, "/a", "/b"],
  DnsQueryLog: [null, "on"],
  FlowLog: [null, "on"],
  DnsRoute: [null, "corp.example -> 10.20.0.53", "corp.example -> 10.20.0.53, 10.20.0.54"],
  Forward6: [null, "tcp:8080 -> [fd00::2]:80"],
  Forward: [null, "tcp:8080 -> 10.0.0.2:80"],
  Transport: [null, "auto"],
  ConnectTimeout: [null, "5"],
  PeerTimeout: [null, "9"],
  ReleaseAfter: [null, "200"],
  OnPeerTimeout: [null, "exit"],
  KillSwitch: [null, "on"],
  AllowIPv6: [null, "on"],
  Aead: [null, "builtin"],
  DataPlaneThreads: [null, "4"],
  Metrics: [null, "127.0.0.1:9586"],
  Webhook: [null, "https://a.example/", "https://b.example/"],
  WebhookSecret: [null, `${"A".repeat(43)}=`],
  ControlGroup: [null, "vpn-console"],
  Store: [null, "tls://a:4222", "tls://a:4222, tls://b:4222"],
  StoreCredentials: [null, "/a"],
  StoreCA: [null, "/a"],
  StoreGrace: [null, "1h"],
  VirtualAddress: [null, "203.0.113.5/24"],
};

const section = fc.record(
  Object.fromEntries(
    Object.entries(VALUES).map(([key, values]) => [key, fc.constantFrom(...values)]),
  ),
);

/** Up to six peers, each of which may be there, with networks that nobody shares. */
const peers = fc.array(
  fc.record({
    number: fc.integer({ min: 10, max: 15 }),
    PresharedKey: fc.constantFrom(null, encodeKey(new Uint8Array(32).fill(7))),
    AllowedIPs: fc.constantFrom("", "/32", "/24"),
    Endpoint: fc.constantFrom(
      null,
      "192.0.2.1:1",
      "vpn.example.org:1",
      "192.0.2.1:1\nEndpoint = vpn.example.org:1",
    ),
    PersistentKeepalive: fc.constantFrom(null, "25"),
    Name: fc.boolean(),
    RateLimit: fc.constantFrom(null, "10M"),
  }),
).map((all) => [...new Map(all.map((peer) => [peer.number, peer])).values()]);

const config = fc.tuple(section, peers).map(([own, others]) =>
  parseConfig(
    [
      "[Interface]",
      ...Object.entries(own).map(([key, value]) => value === null ? "#" : `${key} = ${value}`),
      ...others.flatMap((peer) => [
        "[Peer]",
        `PublicKey = ${sampleKeys(peer.number).publicKey}`,
        ...peer.AllowedIPs === "" ? [] : [`AllowedIPs = 10.9.${peer.number}.0${peer.AllowedIPs}`],
        ...peer.Name ? [`Name = peer-${peer.number}`] : [],
        ...(["PresharedKey", "Endpoint", "PersistentKeepalive", "RateLimit"] as const)
          .flatMap((key) => peer[key] === null ? [] : [`${key} = ${peer[key]}`]),
      ]),
    ].join("\n"),
    "vpn.conf",
  )
);

/** What of a configuration counts, however its file is laid out. */
function meaning({ interface: own, peers }: Config): unknown {
  const { lines: _, ...settings } = own;
  const byKey = peers.map((peer): [string, unknown] => [encodeKey(peer.publicKey), {
    ...peer,
  }]);
  const text = JSON.stringify(
    settings,
    (name, value) => name === "line" ? 0 : value instanceof Uint8Array ? encodeKey(value) : value,
  );
  return { settings: text, peers: byKey };
}

Deno.test("the difference of two configurations, applied to the one, makes the other", () => {
  fc.assert(fc.property(config, config, (one, other) => {
    assertEquals(meaning(changedConfig(one, atOnce(configChange(one, other)))), meaning(other));
  }));
});

Deno.test("a configuration differs from itself in nothing, wherever things stand in the file", () => {
  fc.assert(fc.property(config, (one) => {
    const moved = { ...one, peers: one.peers.toReversed().map((peer) => ({ ...peer, line: 99 })) };
    const { settings, removed, put } = atOnce(configChange(one, moved));
    assertEquals({ settings, removed, put }, { settings: {}, removed: [], put: [] });
  }));
});

Deno.test("a peer that is as before is not among those that are put, and no other is left out", () => {
  fc.assert(fc.property(config, config, (one, other) => {
    const { put, removed } = atOnce(configChange(one, other));
    const before = new Map(one.peers.map((peer) => [encodeKey(peer.publicKey), peer]));
    for (const peer of other.peers) {
      const earlier = before.get(encodeKey(peer.publicKey));
      const found = put.find((each) => each.peer === peer);
      const isSame = earlier !== undefined &&
        JSON.stringify({ ...earlier, line: 0 }) === JSON.stringify({ ...peer, line: 0 });
      assertEquals(found === undefined, isSame);
      assertEquals(found?.isNew ?? false, earlier === undefined);
    }
    assertEquals(
      removed.length,
      one.peers.length + put.filter(({ isNew }) => isNew).length -
        other.peers.length,
    );
  }));
});

Deno.test("each key of [Interface] is found when it alone has changed", () => {
  const keys = Object.keys(INTERFACE_KEYS).filter((key) => key !== "SaveConfig");
  assertEquals(Object.keys(VALUES).sort(), keys.sort());
  assertEquals([...new Set(Object.values(SETTING_KEYS))].sort(), keys.sort());
  const base = `[Interface]\nPrivateKey = ${VALUES["PrivateKey"]![0]}\n`;
  const before = parseConfig(base, "vpn.conf");
  for (const key of keys) {
    const line = `${key} = ${VALUES[key]![1]}`;
    const text = key === "PrivateKey" ? `[Interface]\n${line}` : `${base}${line}`;
    const change = atOnce(configChange(before, parseConfig(text, "vpn.conf")));
    // ReleaseAfter is PeerTimeout at least.
    assertEquals(changedKeys(change), [key], key);
    assertEquals(changedKeys(ofKeys(change, (each) => each !== key)), []);
  }
});

Deno.test("a peer has moved only when its endpoint has", () => {
  const text = (endpoint: string, keepalive: number) =>
    `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\n[Peer]\nPublicKey = ${
      sampleKeys(2).publicKey
    }\nEndpoint = ${endpoint}\nPersistentKeepalive = ${keepalive}\n`;
  const before = parseConfig(text("192.0.2.1:1", 25), "vpn.conf");
  const moved = (endpoint: string) =>
    atOnce(configChange(before, parseConfig(text(endpoint, 24), "vpn.conf"))).put[0]!.isMoved;
  assert(!moved("192.0.2.1:1"));
  assert(moved("192.0.2.1:2"));
  assert(moved("192.0.2.2:1"));
});
