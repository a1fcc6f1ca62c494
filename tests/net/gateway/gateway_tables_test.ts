/** Tests of `lib/host/firewall/gateway_tables.ts` and `fake_tcp_table.ts`: what the tables do to packets. */
import { EPERM } from "../../../ffi/errno.ts";
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { captureFilter } from "../../../lib/dataplane/filters/capture_filter.ts";
import { assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { buildTcp, fragment } from "../../support/packets/packet_builder.ts";
import { buildTcp6, buildUdp6 } from "../../support/packets/packet_builder6.ts";
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
  ONLY_IPV6,
  OUTSIDE,
  sendWithVnetHeader,
  Tap,
  u16,
  VNET_HEADER_SIZE,
} from "../support/outside.ts";
import { ARENA_SIZE as SOCKET_ARENA_SIZE, openSocket } from "../support/traffic/sockets.ts";
import { installNotrack } from "../../../lib/host/firewall/gateway_tables.ts";
import { installFakeTcpTable } from "../../../lib/host/firewall/fake_tcp_table.ts";

import {
  datagram,
  FIRST_PORT,
  installDrop,
  LAST_PORT,
  MARK,
  open,
  PORTS,
  synAck,
  TABLE,
} from "../support/nat_tables.ts";

const WITH_NFT = { programs: ["nft", "ip", "ping"] };

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

const GATEWAY6 = "2001:db8:1::1";
const OUTSIDE6 = "2001:db8:1::9";
const [HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS] = [0, 43, 44, 60] as const;
/** What a packet may have in front of its ports, and a host takes it all the same. */
const CHAINS6: readonly (readonly number[])[] = [
  ...[[], [HOP_BY_HOP], [ROUTING], [FRAGMENT], [OPTIONS]],
  ...[[HOP_BY_HOP, OPTIONS], [HOP_BY_HOP, FRAGMENT], [OPTIONS, ROUTING, OPTIONS]],
  ...[[FRAGMENT, OPTIONS], [OPTIONS, FRAGMENT, OPTIONS]],
];
/** Of each header, whose first byte is to be written: padding as options, no stop left, an atomic fragment. */
const BODIES6: Readonly<Record<number, number[]>> = {
  [HOP_BY_HOP]: [0, 0, 1, 4, 0, 0, 0, 0],
  [ROUTING]: [0, 0, 0, 0, 0, 0, 0, 0],
  [FRAGMENT]: [0, 0, 0, 0, 0, 0, 0, 7],
  [OPTIONS]: [0, 0, 1, 4, 0, 0, 0, 0],
};

netTest(
  "no packet of IPv6 for the NAT's ports reaches the host's stack, whatever headers it has",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    for (const [namespace, address] of [[gateway, GATEWAY6], [outside, OUTSIDE6]] as const) {
      await namespace.output(["sysctl", "-qw", `net.ipv6.conf.${DEVICE}.disable_ipv6=0`]);
      await namespace.output(["ip", "address", "add", `${address}/64`, "dev", DEVICE, "nodad"]);
    }
    await outside.output(["ping", "-n", "-q", "-c", "1", "-w", "5", GATEWAY6]);
    // More errors in a second than by default.
    await gateway.output(["sysctl", "-qw", "net.ipv6.icmp.ratelimit=0"]);
    using tap = new Tap(outside, { filter: ONLY_IPV6 });
    const wire = { from: outside, to: gateway };
    /** By chain, how many answers to a segment and a datagram there were. */
    const answered = async (port: number): Promise<number[]> => {
      const counts: number[] = [];
      for (const chain of CHAINS6) {
        const before = tap.seen().length;
        const fields = {
          ...{ source: OUTSIDE6, destination: GATEWAY6, destinationPort: port },
          extensions: chain.map((type) => [type, BODIES6[type]!] as const),
        };
        for (const packet of [buildTcp6({ ...fields, flags: 0x12 }), buildUdp6(fields)]) {
          sendWithVnetHeader(wire, new Uint8Array(VNET_HEADER_SIZE), packet);
        }
        await outside.output(["ping", "-n", "-q", "-c", "1", "-w", "5", GATEWAY6]);
        const answers = tap.seen().slice(before).filter(({ packet }) =>
          packet[6] === 6 || packet[6] === 58 && packet[40]! < 128
        );
        counts.push(answers.length);
      }
      return counts;
    };
    assertEquals(await answered(FIRST_PORT), CHAINS6.map(() => 2));
    using nftables = open(gateway);
    installDrop(nftables, GATEWAY6);
    assertEquals(await answered(FIRST_PORT), CHAINS6.map(() => 0));
    assertEquals(await answered(FIRST_PORT - 1), CHAINS6.map(() => 2));
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
    const table = { family: "ip", name: "vpn_fake_tcp" } as const;
    installFakeTcpTable(nftables, table, { ports, remote: null });
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
    installNotrack(nftables, { table: TABLE, mark: MARK });
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
