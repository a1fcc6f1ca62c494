/** Tests of `lib/host/firewall/kill_switch.ts`: its table as `nft` lists it, and which packets it lets out. */
import { DatagramSocket } from "../../../ffi/sockets/datagram_socket.ts";
import { EPERM, SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Journal } from "../../../lib/host/journal/journal.ts";
import { KillSwitch } from "../../../lib/host/firewall/kill_switch.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { chat } from "../support/programs/chatter.ts";
import {
  record,
  recordedAll,
  recordedKinds,
  RECORDING_PROGRAMS,
} from "../support/traffic/recording.ts";
import { CABLE, delay, layWire, SERVER_OUTSIDE } from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const MARK = 0xca6c;
const UDP = { protocol: "udp", ports: { first: 4242, last: 4242 } } as const;
const TCP = { protocol: "tcp", ports: { first: 40_000, last: 40_015 } } as const;

/** A host that is closed until disposal. */
class ClosedHost implements Disposable {
  readonly killSwitch: KillSwitch;
  readonly #namespace: TestNamespace;
  readonly #journal: Journal;

  constructor(namespace: TestNamespace) {
    this.#namespace = namespace;
    this.#journal = namespace.inside(() => new Journal("vpn0"));
    const options = { interfaceName: "vpn0", mark: MARK, journal: this.#journal, server: null };
    this.killSwitch = namespace.inside(() => new KillSwitch(options, [UDP]));
  }

  [Symbol.dispose](): void {
    this.killSwitch[Symbol.dispose]();
    this.#namespace.inside(() => this.#journal.undo());
  }
}

async function ruleset(namespace: TestNamespace): Promise<string> {
  const text = await namespace.output(["nft", "list", "ruleset"]);
  // Of its flags, `nft` lists those that it knows; and not every `nft` knows comments.
  return text.replaceAll(/#.*$|^\s*(?:flags .*|comment "made by vpn")$/gm, "").replaceAll(
    /\s+/g,
    " ",
  ).trim();
}

/** Stands before whatever is asked of ports: later fragments have none. */
const FIRST_FRAGMENT = "ip frag-off & 8191 == 0";

/** What lets neighbours be found, as `nft` lists it. */
const NEIGHBOURS = [
  "nd-router-solicit",
  "nd-neighbor-solicit",
  "nd-neighbor-advert",
  "mld2-listener-report",
]
  .map((type) => `icmpv6 type ${type} accept `).join("");

const table = (...own: readonly string[]) => tableWith("", ...own);

const tableWith = (ipv6: string, ...own: readonly string[]) =>
  "table inet vpn_vpn0_killswitch { chain postrouting { " +
  "type filter hook postrouting priority filter; policy accept; " +
  'oifname "vpn0" accept oifname "lo" accept ' +
  own.map((rule) => `meta mark 0x0000ca6c ${FIRST_FRAGMENT} ${rule} accept `).join("") +
  ipv6 +
  `${FIRST_FRAGMENT} udp sport 68 udp dport 67 accept ` +
  "meta nfproto ipv6 udp sport 546 udp dport 547 accept drop } " +
  "chain forward { type filter hook forward priority filter; policy accept; " +
  'oifname "vpn0" accept drop } }';

netTest("KillSwitch makes the table that `nft` lists, and takes it back", async (topology) => {
  const namespace = topology.namespace("host");
  using host = new ClosedHost(namespace);
  assertEquals(await ruleset(namespace), table("udp sport 4242"));
  host.killSwitch.admit([UDP, TCP]);
  const both = table("udp sport 4242", "tcp sport 40000-40015");
  assertEquals(await ruleset(namespace), both);
  host.killSwitch.admit([{ ...UDP, overIpv6: true }]);
  const byIpv6 = `meta mark 0x0000ca6c meta nfproto ipv6 udp sport 4242 accept ${NEIGHBOURS}`;
  assertEquals(await ruleset(namespace), tableWith(byIpv6, "udp sport 4242"));
  host.killSwitch.admit([UDP, TCP]);
  // What is left by a process that was killed is anybody's, and still the same.
  host.killSwitch[Symbol.dispose]();
  assertEquals(await ruleset(namespace), both);
  host[Symbol.dispose]();
  assertEquals(await ruleset(namespace), "");
}, { programs: ["nft"] });

netTest(
  "KillSwitch lets out questions to the resolvers in use, while they are asked",
  async (topology) => {
    const namespace = topology.namespace("host");
    using host = new ClosedHost(namespace);
    const within = await host.killSwitch.whileAsking(
      [parseIpv4("192.0.2.53")!],
      () => ruleset(namespace),
    );
    const hole = "meta mark 0x0000ca6c ip daddr 192.0.2.53 " +
      `${FIRST_FRAGMENT} udp dport 53 accept `;
    assertEquals(within.replace(hole, ""), table("udp sport 4242"));
    assertEquals(within.includes(hole), true, within);
    assertEquals(await ruleset(namespace), table("udp sport 4242"));
    // Of two at a time, the one that ends first leaves the other's.
    const answer = Promise.withResolvers<void>();
    const asking = host.killSwitch.whileAsking([parseIpv4("192.0.2.53")!], () => answer.promise);
    await host.killSwitch.whileAsking([1], () => Promise.resolve());
    assertEquals(await ruleset(namespace), within);
    answer.resolve();
    await asking;
    assertEquals(await ruleset(namespace), table("udp sport 4242"));
    // One that fails closes it as well.
    await host.killSwitch.whileAsking([1], () => Promise.reject(new Error("lost"))).catch(() => {});
    assertEquals(await ruleset(namespace), table("udp sport 4242"));
  },
  { programs: ["nft"] },
);

netTest("KillSwitch stays when a firewall reloads its rules", async (topology) => {
  const namespace = topology.namespace("host");
  using _host = new ClosedHost(namespace);
  await namespace.output(["nft", "flush", "ruleset"]);
  assertEquals(await ruleset(namespace), table("udp sport 4242"));
}, { programs: ["nft"] });

netTest("KillSwitch lets DHCP out, of the host itself alone", async (topology) => {
  const { client, server } = await layWire(topology);
  const container = topology.namespace("container");
  topology.cable(
    { namespace: client, name: "inner0", address: "10.55.0.1/24" },
    { namespace: container, name: CABLE, address: "10.55.0.2/24" },
  );
  await container.output(["ip", "route", "add", "default", "via", "10.55.0.1"]);
  await client.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
  await giveIpv6(client, CABLE, "2001:db8:1::2/64");
  const targets = [`udp://${SERVER_OUTSIDE}:67?from=68`, `udp://${SERVER_OUTSIDE}:68?from=67`];
  chat(client, ...targets, "udp://[ff05::1:3]:547?from=546");
  chat(container, ...targets);
  using host = new ClosedHost(client);
  const kinds = {
    "DHCP": "src host 192.0.2.2 and udp src port 68 and dst port 67",
    "DHCPv6": "ip6 and udp src port 546 and dst port 547",
    "a DHCP server's": "src host 192.0.2.2 and udp src port 67 and dst port 68",
    "forwarded DHCP": "src host 10.55.0.2 and udp dst port 67",
  };
  await using outside = await record(server, CABLE, "udp", { immediate: true });
  await using inside = await record(container, CABLE, "udp", { immediate: true });
  const sent = { "forwarded DHCP": kinds["forwarded DHCP"] };
  await recordedAll(outside, { "DHCP": kinds.DHCP, "DHCPv6": kinds.DHCPv6 });
  await recordedAll(inside, sent);
  // All of them are sent in each round, a tenth of a second after the one before.
  await delay(500);
  assertEquals(await recordedKinds(outside, kinds), ["DHCP", "DHCPv6"]);
  host[Symbol.dispose]();
  await recordedAll(outside, kinds);
}, { programs: ["ip", "sysctl", ...RECORDING_PROGRAMS] });

netTest("KillSwitch asks for the mark and the port of what it lets out", async (topology) => {
  const { client } = await layWire(topology);
  using host = new ClosedHost(client);
  const to = { address: parseIpv4(SERVER_OUTSIDE)!, port: 51820 };
  const send = (mark: number, ports: { first: number; last: number }) =>
    client.inside(() => {
      host.killSwitch.admit([{ protocol: "udp", ports }]);
      using socket = DatagramSocket.connect(openLibc(), to, mark);
      socket.send(new Uint8Array(1));
    });
  const any = { first: 1, last: 65_535 };
  send(MARK, any);
  for (const [mark, ports] of [[MARK, { first: 7, last: 7 }], [MARK + 1, any]] as const) {
    assertEquals(assertThrows(() => send(mark, ports), SystemCallError).errno, EPERM);
  }
}, { programs: ["ip"] });

netTest("KillSwitch lets out what goes by the tunnel or loopback", async (topology) => {
  const { client, server } = await layWire(topology);
  using host = new ClosedHost(client);
  topology.cable(
    { namespace: client, name: "vpn0", address: "10.66.77.2/24" },
    { namespace: server, name: "other", address: "10.66.77.1/24" },
  );
  const reaches = async (address: string) =>
    (await client.run(["ping", "-c", "1", "-W", "2", address])).code === 0;
  assertEquals(await reaches("10.66.77.1"), true);
  assertEquals(await reaches("127.0.0.1"), true);
  assertEquals(await reaches("192.0.2.2"), true);
  assertEquals(await reaches(SERVER_OUTSIDE), false);
  host[Symbol.dispose]();
  assertEquals(await reaches(SERVER_OUTSIDE), true);
}, { programs: ["ping"] });
