/** Tests of `ffi/netlink/nftables/nftables.ts`: the tables as `nft` lists them, and what they do to packets. */
import { ENOENT, EPERM } from "../../../ffi/errno.ts";
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { captureFilter } from "../../../lib/dataplane/filters/capture_filter.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { buildTcp, buildUdp, fragment } from "../../support/packets/packet_builder.ts";
import {
  addressOf,
  afterPing,
  DEVICE,
  ETHERNET_HEADER_SIZE,
  GATEWAY,
  Injector,
  isReset,
  isUnreachable,
  layOutskirts,
  OUTSIDE,
  Tap,
  u16,
} from "../support/outside.ts";
import { ARENA_SIZE as SOCKET_ARENA_SIZE, openSocket } from "../support/traffic/sockets.ts";

const WITH_NFT = { programs: ["nft", "ip", "ping"] };
const TABLE = "vpn_wg0";
const MARK = 0x5650;
const FIRST_PORT = 40_000;
const LAST_PORT = 60_000;
const RANGE = { first: FIRST_PORT, last: LAST_PORT };
const PORTS = { tcp: [RANGE, { first: 8080, last: 8080 }], udp: [RANGE] };

/** The firewall of a namespace. */
function open(namespace: TestNamespace, options: { readonly owned?: boolean } = {}): Nftables {
  return namespace.inside(() => Nftables.open(openLibc(), options));
}

/** What `nft` lists, without comments and indentation. */
async function ruleset(namespace: TestNamespace): Promise<string> {
  const text = await namespace.output(["nft", "list", "ruleset"]);
  return text.replaceAll(/#.*$/gm, "").replaceAll(/\s+/g, " ").trim();
}

function installDrop(nftables: Nftables, address = GATEWAY): void {
  nftables.installIngressDrop({
    table: TABLE,
    device: DEVICE,
    address: addressOf(address),
    ports: PORTS,
  });
}

/** Stands before whatever is asked of ports: later fragments have none. */
const FIRST_FRAGMENT = "ip frag-off & 8191 == 0";

const DROP_TABLE = (address: string, flags = "flags owner ") =>
  `table netdev ${TABLE} { ${flags}chain ingress { ` +
  `type filter hook ingress device "${DEVICE}" priority filter; policy accept; ` +
  `ip daddr ${address} ${FIRST_FRAGMENT} tcp dport ${FIRST_PORT}-${LAST_PORT} drop ` +
  `ip daddr ${address} ${FIRST_FRAGMENT} tcp dport 8080 drop ` +
  `ip daddr ${address} ${FIRST_FRAGMENT} udp dport ${FIRST_PORT}-${LAST_PORT} drop } }`;

const synAck = (port: number) =>
  buildTcp({
    source: OUTSIDE,
    destination: GATEWAY,
    sourcePort: 80,
    destinationPort: port,
    flags: 0x12,
  });
const datagram = (port: number, payload = new Uint8Array(8)) =>
  buildUdp({ source: OUTSIDE, destination: GATEWAY, destinationPort: port, payload });

netTest("installIngressDrop() makes the table that `nft` lists", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  using nftables = open(gateway);
  installDrop(nftables);
  assertEquals(await ruleset(gateway), DROP_TABLE(GATEWAY));
}, WITH_NFT);

netTest(
  "installIngressDrop() replaces the table of an address that has changed",
  async (topology) => {
    const { gateway } = await layOutskirts(topology);
    using nftables = open(gateway);
    installDrop(nftables);
    installDrop(nftables, "198.51.100.7");
    assertEquals(await ruleset(gateway), DROP_TABLE("198.51.100.7"));
  },
  WITH_NFT,
);

netTest("installNotrack() makes the table that `nft` lists", async (topology) => {
  const namespace = topology.namespace("notrack");
  using nftables = open(namespace);
  nftables.installNotrack({ table: TABLE, mark: MARK });
  assertEquals(
    await ruleset(namespace),
    `table inet ${TABLE} { flags owner chain output { ` +
      "type filter hook output priority raw; policy accept; meta mark 0x00005650 notrack } }",
  );
}, WITH_NFT);

netTest("installCarrier() makes the table that `nft` lists, and replaces it", async (topology) => {
  const namespace = topology.namespace("carrier");
  using nftables = open(namespace);
  const chains = (input: string, output: string) =>
    `table ip ${TABLE} { flags owner ` +
    `chain input { type filter hook input priority raw; policy accept; ${input} drop } ` +
    `chain output { type filter hook output priority raw; policy accept; ${output} notrack } }`;
  const single = { first: 443, last: 443 };
  nftables.installCarrier({ table: TABLE, ports: single, remote: null });
  assertEquals(
    await ruleset(namespace),
    chains(`${FIRST_FRAGMENT} tcp dport 443`, `${FIRST_FRAGMENT} tcp sport 443`),
  );
  const remote = { address: addressOf(OUTSIDE), port: 443 };
  nftables.installCarrier({ table: TABLE, ports: RANGE, remote });
  const range = `${FIRST_PORT}-${LAST_PORT}`;
  assertEquals(
    await ruleset(namespace),
    chains(
      `ip saddr ${OUTSIDE} ${FIRST_FRAGMENT} tcp sport 443 tcp dport ${range}`,
      `ip daddr ${OUTSIDE} ${FIRST_FRAGMENT} tcp sport ${range} tcp dport 443`,
    ),
  );
}, WITH_NFT);

netTest("installQueue() makes the table that `nft` lists", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  using nftables = open(gateway);
  const address = addressOf(GATEWAY);
  nftables.installQueue({ table: TABLE, device: DEVICE, address, ports: PORTS, queue: 7 });
  const match = `iifname "${DEVICE}" ip daddr ${GATEWAY}`;
  assertEquals(
    await ruleset(gateway),
    `table ip ${TABLE} { flags owner chain prerouting { ` +
      "type filter hook prerouting priority raw; policy accept; " +
      `${match} ip frag-off & 8191 != 0 queue num 8 ` +
      `${match} meta l4proto icmp queue num 8 ` +
      `${match} ${FIRST_FRAGMENT} tcp dport ${FIRST_PORT}-${LAST_PORT} queue num 7 ` +
      `${match} ${FIRST_FRAGMENT} tcp dport 8080 queue num 7 ` +
      `${match} ${FIRST_FRAGMENT} udp dport ${FIRST_PORT}-${LAST_PORT} queue num 7 } }`,
  );
}, WITH_NFT);

netTest("owned tables go with the object, whatever else is there stays", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  await gateway.output(["nft", "-f", "-"], {
    stdin: `add table inet ${TABLE}\n` +
      `add chain inet ${TABLE} input { type filter hook input priority 0 ; }\n` +
      "add table ip mine\nadd set ip mine s { type ipv4_addr ; }\n" +
      "add element ip mine s { 192.0.2.3 }\n",
  });
  const before = await gateway.output(["nft", "list", "ruleset"]);
  const nftables = open(gateway);
  assertEquals(nftables.ownsTables, true);
  installDrop(nftables);
  nftables.installCarrier({ table: TABLE, ports: RANGE, remote: null });
  assert(await gateway.output(["nft", "list", "ruleset"]) !== before);
  nftables[Symbol.dispose]();
  assertEquals(await gateway.output(["nft", "list", "ruleset"]), before);
}, WITH_NFT);

netTest("owned tables survive `nft flush ruleset`, and EPERM meets others", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  using nftables = open(gateway);
  installDrop(nftables);
  await gateway.output(["nft", "flush", "ruleset"]);
  assertEquals(await ruleset(gateway), DROP_TABLE(GATEWAY));
  using other = open(gateway);
  for (
    const call of [
      () => other.deleteTable({ family: "netdev", name: TABLE }),
      () => installDrop(other),
    ]
  ) {
    const error = assertThrows(call, NetlinkError);
    assertEquals(error.errno, EPERM);
    assertMatch(error.message, /^Cannot delete nftables table netdev "vpn_wg0": operation not/);
  }
}, WITH_NFT);

netTest("owned tables go when their process is killed", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  const script = `
    import { openLibc } from "${new URL("../../../ffi/libc.ts", import.meta.url)}";
    import { Nftables } from "${new URL(
    "../../../ffi/netlink/nftables/nftables.ts",
    import.meta.url,
  )}";
    Nftables.open(openLibc()).installNotrack({ table: "${TABLE}", mark: ${MARK} });
    console.log("installed");
    setTimeout(() => {}, 60_000);`;
  const process = gateway.spawn([Deno.execPath(), "eval", script]);
  await process.waitFor(/installed/);
  assertMatch(await ruleset(gateway), /notrack/);
  process.signal("SIGKILL");
  await process.status;
  assertEquals(await ruleset(gateway), "");
}, WITH_NFT);

netTest("tables that are not owned stay until they are deleted", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  const before = await gateway.output(["nft", "list", "ruleset"]);
  const first = open(gateway, { owned: false });
  assertEquals(first.ownsTables, false);
  installDrop(first);
  first.installNotrack({ table: TABLE, mark: MARK });
  first[Symbol.dispose]();
  using second = open(gateway);
  assertEquals(second.listTables(), [
    { family: "netdev", name: TABLE },
    { family: "inet", name: TABLE },
  ]);
  // What a killed process left behind is replaced, and then goes with its new owner.
  installDrop(second);
  assertMatch(await ruleset(gateway), /table netdev vpn_wg0 \{ flags owner/);
  for (const { family, name } of second.listTables()) second.deleteTable({ family, name });
  assertEquals(await gateway.output(["nft", "list", "ruleset"]), before);
}, WITH_NFT);

netTest("deleteTable() deletes in the family it is given, and nothing twice", async (topology) => {
  const namespace = topology.namespace("delete");
  await namespace.output(["nft", "add table ip t; add table ip6 t; add table bridge t"]);
  using nftables = open(namespace);
  nftables.deleteTable({ family: "ip6", name: "t" });
  nftables.deleteTable({ family: "ip6", name: "t" });
  nftables.deleteTable({ family: "arp", name: "t" });
  assertEquals(nftables.listTables(), [
    { family: "ip", name: "t" },
    { family: "bridge", name: "t" },
  ]);
}, WITH_NFT);

netTest(
  "a table of which one rule is refused is not made, nor the former one lost",
  async (topology) => {
    const { gateway } = await layOutskirts(topology);
    using nftables = open(gateway);
    installDrop(nftables);
    const before = await ruleset(gateway);
    const error = assertThrows(
      () =>
        nftables.installIngressDrop({
          table: TABLE,
          device: "a".repeat(20),
          address: 1,
          ports: PORTS,
        }),
      NetlinkError,
    );
    assert(error.errno !== ENOENT, error.message);
    assertMatch(
      error.message,
      /^Cannot add nftables table netdev "vpn_wg0", chain ingress for inter/,
    );
    assertEquals(await ruleset(gateway), before);
  },
  WITH_NFT,
);

// What the tables do.

netTest("without the drop the gateway answers RST and port unreachable", async (topology) => {
  const { gateway: _, outside } = await layOutskirts(topology);
  using tap = new Tap(outside);
  using injector = new Injector(outside);
  injector.send(synAck(FIRST_PORT), datagram(FIRST_PORT));
  await afterPing(injector, tap);
  const packets = tap.seen().map(({ packet }) => packet);
  assertEquals(packets.filter(isReset).length, 1);
  assertEquals(packets.filter(isUnreachable).length, 1);
}, WITH_NFT);

netTest(
  "installIngressDrop() keeps the gateway silent on its ports and only there; ETH_P_ALL sockets see all, ETH_P_IP none",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using nftables = open(gateway);
    installDrop(nftables);
    using tap = new Tap(outside);
    using inner = new Tap(gateway);
    using behind = new ProtocolSocket(gateway);
    using injector = new Injector(outside);
    const taken = [FIRST_PORT, LAST_PORT, 50_000];
    injector.send(...taken.map(synAck), ...taken.map((port) => datagram(port)), synAck(8080));
    await afterPing(injector, tap);
    const answers = () => tap.seen().map(({ packet }) => packet);
    assertEquals(answers().filter((packet) => isReset(packet) || isUnreachable(packet)), []);
    const ports = (protocol: number) =>
      inner.seen().filter(({ packet }) => packet[9] === protocol)
        .map(({ packet }) => u16(packet, 22));
    assertEquals([ports(6), ports(17)], [[...taken, 8080], taken]);
    assertEquals(behind.protocols(), [1]);

    const free = [FIRST_PORT - 1, LAST_PORT + 1];
    injector.send(...free.map(synAck), ...free.map((port) => datagram(port)), datagram(8080));
    await afterPing(injector, tap);
    assertEquals(answers().filter(isReset).length, 2);
    assertEquals(answers().filter(isUnreachable).length, 3);
  },
  WITH_NFT,
);

netTest(
  "installIngressDrop() drops a first fragment, and the rest provokes nothing",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using nftables = open(gateway);
    installDrop(nftables);
    using tap = new Tap(outside);
    using behind = new ProtocolSocket(gateway);
    using injector = new Injector(outside);
    const fragments = fragment(datagram(FIRST_PORT, new Uint8Array(3000)), 1500);
    assertEquals(fragments.length, 3);
    injector.send(...fragments);
    await afterPing(injector, tap);
    // The two later fragments and the ping; the first is not there, so nothing is assembled.
    assertEquals(behind.protocols(), [17, 17, 1]);
    assertEquals(tap.seen().filter(({ packet }) => isUnreachable(packet)), []);
  },
  WITH_NFT,
);

/** A datagram for a service of the host, of which each later fragment begins like a datagram for the NAT's ports. */
function deceptiveFragments(port: number): Uint8Array[] {
  const payload = new Uint8Array(4_000);
  for (let at = 0; at < payload.length; at += 2) payload.set([50_000 >> 8, 50_000 & 0xff], at);
  return fragment(datagram(port, payload), 1500);
}

/** What a service of the gateway's host gets. */
async function receiveAt(gateway: TestNamespace, port: number, send: () => void): Promise<number> {
  const arena = new Arena(SOCKET_ARENA_SIZE);
  using service = openSocket(gateway, arena, port);
  send();
  return await eventually(() => service.receive() === 1 ? service.receivedLengths[0]! : null);
}

netTest(
  "no rule takes a later fragment of another's for a packet to the NAT's ports; packet sockets see all",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using nftables = open(gateway);
    using injector = new Injector(outside);
    using inner = new Tap(gateway, {
      filter: captureFilter(addressOf(GATEWAY), PORTS, ETHERNET_HEADER_SIZE),
    });
    const fragments = deceptiveFragments(9);
    const laterFragments = () =>
      inner.seen().filter(({ packet }) => (u16(packet, 6) & 0x1fff) !== 0).length;
    installDrop(nftables);
    const length = () => receiveAt(gateway, 9, () => injector.send(...fragments));
    assertEquals(await length(), 4_000);
    assertEquals(laterFragments(), 2);
    const ports = { first: FIRST_PORT, last: LAST_PORT };
    nftables.installCarrier({ table: "vpn_carrier", ports, remote: null });
    assertEquals(await length(), 4_000);
  },
  WITH_NFT,
);

netTest(
  "installNotrack() keeps marked packets from a firewall that drops INVALID",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    await gateway.output(["nft", "-f", "-"], {
      stdin: "add table ip host\n" +
        "add chain ip host output { type filter hook output priority 0 ; }\n" +
        "add rule ip host output ct state invalid drop\n",
    });
    using tap = new Tap(outside);
    using marked = new Injector(gateway, { mark: MARK });
    using plain = new Injector(gateway);
    // By default a segment in the middle of nowhere is taken for a connection that began earlier.
    gateway.inside(() =>
      Deno.writeTextFileSync("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "0")
    );
    const acknowledgement = (sourcePort: number) =>
      buildTcp({ source: GATEWAY, destination: OUTSIDE, sourcePort, flags: 0x10 });
    assertEquals([marked.send(acknowledgement(1)), marked.socket.errorCount], [1, 1]);
    using nftables = open(gateway);
    nftables.installNotrack({ table: TABLE, mark: MARK });
    assertEquals([marked.send(acknowledgement(2)), marked.socket.errorCount], [1, 1]);
    assertEquals([plain.send(acknowledgement(3)), plain.socket.errorCount], [1, 1]);
    assertEquals([...marked.socket.errors], [[EPERM, 1]]);
    const [arrived] = await tap.waitFor((packet) => packet[9] === 6);
    assertEquals(u16(arrived!.packet, 20), 2);
  },
  WITH_NFT,
);

/** A packet socket of ETH_P_IP, as most programs use: it stands behind netdev ingress. */
class ProtocolSocket implements Disposable {
  readonly #fd: number;

  constructor(namespace: TestNamespace) {
    const link = namespace.rtnetlink.links.get(DEVICE).index;
    const { symbols } = openLibc();
    // AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, htons(ETH_P_IP)
    this.#fd = namespace.inside(() => symbols.socket(17, 2 | 0o4000, 0x0008));
    // struct sockaddr_ll { u16 family; be16 protocol; int ifindex; ... }
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, 17, true);
    address.setUint16(2, 0x0800);
    address.setInt32(4, link, true);
    assertEquals(symbols.bind(this.#fd, new Uint8Array(address.buffer), 20), 0);
  }

  /** Of the packets that arrived, in order, leaving out those that were sent. */
  protocols(): number[] {
    const { symbols } = openLibc();
    const bytes = new Uint8Array(2000);
    const protocols: number[] = [];
    while (symbols.recv(this.#fd, bytes, 2000n, 0) > 0) {
      if (bytes.subarray(16, 20).join(".") === GATEWAY) protocols.push(bytes[9]!);
    }
    return protocols;
  }

  [Symbol.dispose](): void {
    openLibc().symbols.close(this.#fd);
  }
}
