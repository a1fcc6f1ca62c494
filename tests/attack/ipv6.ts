/** Attacks by IPv6: on where clients may go, on the NAT's ports from outside, and on the gateway's neighbours. */
import {
  addIpv6To,
  clientConfig6,
  config6,
  EXTERNAL6,
  INSIDE6,
  INTERNET6,
  ROUTER6,
} from "../net/support/gateway6.ts";
import type { Section } from "../net/support/config.ts";
import { GatewayNetwork, UPLINK } from "../net/support/gateway.ts";
import { ONLY_IPV6, sendWithVnetHeader, Tap, VNET_HEADER_SIZE } from "../net/support/outside.ts";
import { startVpn } from "../net/support/programs/vpn.ts";
import { Site } from "../net/support/site.ts";
import { CABLE, delay, SERVER_PORT } from "../net/support/wire.ts";
import type { BackgroundProcess, Topology } from "../support/net.ts";
import type { Bytes } from "../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildIpv6,
  buildTcp6,
  buildUdp6,
  bytes6,
} from "../support/packets/packet_builder6.ts";
import { Random } from "../support/random.ts";
import { type Attack, isRunning, type Outcome, SITE_PORT } from "./attack.ts";
import { RogueClient } from "./rogue_client.ts";

const CLIENTS6 = ["fd00:77::2", "fd00:77::3"] as const;
const ROGUE = CLIENTS6[1];
/** Of a packet that is no other's. */
const PORT = 8_123;
/** Where strangers claim to be. */
const FORGED = "2001:db8:bad";
/** What a client must not reach: the gateway's neighbours, clouds' services, what no router forwards, translators. */
const FORBIDDEN = [
  ...[ROUTER6, EXTERNAL6, "2001:db8:2::2", "2001:db8:1::", "fd00:ec2::254", "fd20:ce::254"],
  ...["fe80::9", "ff02::1", "ff0e::1", "::1", "::", "::ffff:203.0.113.9", "::203.0.113.9"],
  ...["64:ff9b::169.254.169.254", "64:ff9b::198.51.100.2", "64:ff9b:1::198.51.100.2"],
];
const HOP_BY_HOP = [0, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
const OPTIONS = [60, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
const ATOMIC = [44, [0, 0, 0, 0, 0, 0, 0, 9]] as const;
const DONE = [43, [0, 0, 4, 0, 0, 0, 0, 0]] as const;
const CHAINS = [[], [HOP_BY_HOP], [OPTIONS], [ATOMIC], [DONE], [HOP_BY_HOP, ATOMIC], [
  ATOMIC,
  OPTIONS,
], [OPTIONS, DONE, ATOMIC]];

/** A gateway with a NAT of both families, an honest client with our program, a hostile one, and a web site. */
interface Scene6 {
  readonly network: GatewayNetwork;
  readonly server: BackgroundProcess;
  readonly rogue: RogueClient;
}

async function setScene6(
  topology: Topology,
  resources: AsyncDisposableStack,
  section: Section = {},
): Promise<Scene6> {
  const network = await GatewayNetwork.lay(topology, { clients: 2 });
  await addIpv6To(network);
  resources.use(new Site(network.internet, SITE_PORT, "::"));
  const server = await startVpn("server", network.gateway, config6(network, section, CLIENTS6));
  const [honest, hostile] = network.clients;
  await startVpn("client", honest!.namespace, clientConfig6(network, honest!, CLIENTS6[0]));
  const rogue = resources.use(
    new RogueClient(hostile!.namespace, {
      privateKey: hostile!.identity.privateKey,
      gatewayKey: network.identity.publicKey,
      address: hostile!.endpoint.split(":")[0]!,
      port: SERVER_PORT,
    }),
  );
  return { network, server, rogue };
}

/** How many of so many fetches of the site the honest client gets by IPv6. */
async function fetches6({ network }: Scene6, count: number): Promise<number> {
  let got = 0;
  for (let i = 0; i < count; i++) {
    const { stdout } = await network.clients[0]!.namespace.run(
      ["curl", "-s", "--max-time", "5", `http://[${INTERNET6}]/`],
      { timeoutMs: 15_000 },
    );
    if (stdout === `hello ${EXTERNAL6}`) got++;
  }
  return got;
}

function isFrom(packet: Uint8Array, address: string): boolean {
  return bytes6(address).every((byte, i) => packet[8 + i] === byte);
}

/** Whether a packet is for one of a network of 48 bits. */
function isIn(packet: Uint8Array, network: string): boolean {
  return bytes6(`${network}::`).subarray(0, 6).every((byte, i) => packet[24 + i] === byte);
}

/** Whether a packet names a port, behind whatever headers. */
function names(packet: Uint8Array, port: number): boolean {
  for (let at = 40; at + 4 <= Math.min(packet.length, 120); at += 2) {
    if ((packet[at]! << 8 | packet[at + 1]!) === port) return true;
  }
  return false;
}

async function fromInside(
  topology: Topology,
  scale: number,
  section: Section = {},
): Promise<Outcome> {
  await using resources = new AsyncDisposableStack();
  const scene = await setScene6(topology, resources, section);
  const { internet, clients, gateway } = scene.network;
  using outside = new Tap(internet, { filter: ONLY_IPV6 });
  using lan = new Tap(clients[0]!.namespace, { device: CABLE, filter: ONLY_IPV6 });
  const before = await gateway.output(["ip", "-6", "neighbour", "show", "dev", "vpn0"]);
  const session = await scene.rogue.handshake();
  const random = new Random(6);
  const send = (...packets: readonly Bytes[]) => scene.rogue.send(session, ...packets);
  for (const destination of FORBIDDEN) {
    for (const extensions of CHAINS) {
      send(
        buildUdp6({
          source: ROGUE,
          destination: plain(destination),
          destinationPort: PORT,
          extensions,
        }),
      );
    }
  }
  // Others' addresses, and those that nobody has.
  for (const source of [CLIENTS6[0], INSIDE6, EXTERNAL6, INTERNET6, "fe80::3", "::", "ff02::1"]) {
    send(buildUdp6({ source, destination: INTERNET6, destinationPort: PORT }));
  }
  // What hosts of one link tell each other.
  for (const type of [130, 131, 133, 134, 135, 136, 137, 143]) {
    const fields = { source: ROGUE, destination: INSIDE6, hopLimit: 255, type };
    send(buildIcmp6({ ...fields, payload: bytes6(CLIENTS6[0]) }));
  }
  const count = Math.round(40_000 * scale);
  for (let i = 0; i < count; i++) {
    const fields = {
      source: ROGUE,
      destination: random.pick([INTERNET6, EXTERNAL6, INSIDE6, CLIENTS6[0]]),
      sourcePort: random.below(65_536),
      destinationPort: random.pick([53, 443, PORT]),
      extensions: random.pick(CHAINS),
      hopLimit: random.pick([0, 1, 2, 64, 255]),
      payload: random.bytes(random.pick([0, 8, 600, 1_200])),
    };
    const packet = random.pick([
      () => buildUdp6(fields),
      () => buildTcp6({ ...fields, flags: random.below(256) }),
      () => buildIcmp6({ ...fields, type: random.below(256) }),
      () => buildIpv6({ ...fields, protocol: random.below(256) }),
    ])();
    send(random.chance(0.5) ? random.mutate(packet, 4) : packet);
    if (i % 200 === 0) await delay(5);
  }
  await delay(1_500);
  const seen = outside.seen().map(({ packet }) => packet);
  // The gateway's neighbours find each other by link-local addresses.
  const foreign = seen.filter((packet) => !isFrom(packet, EXTERNAL6) && packet[8] !== 0xfe);
  const reached = FORBIDDEN.map(plain).filter((destination) =>
    [...seen, ...lan.seen().map(({ packet }) => packet)].some((packet) =>
      bytes6(destination).every((byte, i) => packet[24 + i] === byte) && names(packet, PORT)
    )
  );
  const after = await gateway.output(["ip", "-6", "neighbour", "show", "dev", "vpn0"]);
  const got = await fetches6(scene, 3);
  return {
    held: foreign.length === 0 && reached.length === 0 && before === after && got === 3 &&
      isRunning(scene.server),
    figure: `of ${count} packets ${foreign.length} left with another address; reached: ${
      reached.join(", ") || "none"
    } of ${FORBIDDEN.length}; site ${got} of 3`,
  };
}

/** As the packet builder reads addresses: without dotted decimal. */
function plain(address: string): string {
  const [, head, dotted] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address) ?? [];
  if (dotted === undefined) return address;
  const [a, b, c, d] = dotted.split(".").map(Number);
  return `${head}${(a! << 8 | b!).toString(16)}:${(c! << 8 | d!).toString(16)}`;
}

async function fromOutside(topology: Topology, scale: number): Promise<Outcome> {
  await using resources = new AsyncDisposableStack();
  const scene = await setScene6(topology, resources, { NatPorts: "20000-20999" });
  const { internet, gateway, clients } = scene.network;
  const client = clients[0]!.namespace;
  const pings = async () => {
    const { stdout } = await client.run(
      ["ping", "-n", "-q", "-M", "do", "-s", "1300", "-c", "5", "-i", "0.2", INTERNET6],
      { timeoutMs: 20_000 },
    );
    return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
  };
  const before = await pings();
  using tap = new Tap(internet, { filter: ONLY_IPV6 });
  const wire = { from: internet, to: gateway };
  const random = new Random(7);
  const count = Math.round(4_000 * scale);
  for (let i = 0; i < count; i++) {
    const fields = {
      source: `${FORGED}::${random.between(1, 0xffff).toString(16)}`,
      destination: EXTERNAL6,
      sourcePort: 443,
      destinationPort: random.between(20_000, 20_999),
      extensions: random.pick(CHAINS),
    };
    const quoted = buildUdp6({
      ...{ source: EXTERNAL6, destination: INTERNET6, sourcePort: fields.destinationPort },
      ...{ destinationPort: 443, payload: random.bytes(64) },
    });
    const identification = [0, 0, 0, random.below(256)];
    const field = random.pick([[0, 1], [0, 8], [0, 9], [0xff, 0xf8]]);
    const packet = random.pick([
      () => buildTcp6({ ...fields, flags: random.pick([0x02, 0x10, 0x12, 0x04]) }),
      () => buildUdp6({ ...fields, payload: random.bytes(random.below(600)) }),
      () => buildIcmp6({ ...fields, type: random.between(1, 4), payload: quoted }),
      // Fragments that overlap, are tiny, or whose first never comes.
      () =>
        buildIpv6({
          ...fields,
          extensions: [[44, [0, 0, ...field, ...identification]]],
          protocol: random.pick([6, 17, 60]),
          payload: random.bytes(8 * random.between(1, 60)),
        }),
    ])();
    sendWithVnetHeader(wire, new Uint8Array(VNET_HEADER_SIZE), packet);
    if (i % 100 === 0) await delay(5);
  }
  await delay(1_000);
  // RST, or unreachable; that a fragment cannot be of a packet, any host says, whatever the port.
  const answers =
    tap.seen().map(({ packet }) => packet).filter((packet) =>
      isFrom(packet, EXTERNAL6) && isIn(packet, FORGED) &&
      (packet[6] === 6 || packet[6] === 58 && packet[40] === 1)
    ).length;
  const after = await pings();
  const got = await fetches6(scene, 3);
  return {
    held: answers === 0 && before === 5 && after === 5 && got === 3 && isRunning(scene.server),
    figure: `${count} packets, ${answers} answered; pings of 1,300 bytes: ${before} of 5 before, ` +
      `${after} of 5 after; site ${got} of 3`,
  };
}

/** Solicitations for every address of a network that is on the uplink (RFC 4861 section 4.3). */
async function solicitations(topology: Topology, scale: number): Promise<Outcome> {
  const network = await GatewayNetwork.lay(topology);
  await addIpv6To(network);
  const own = "2001:db8:1::77:2";
  const section = { Address: "10.66.77.1/24, 2001:db8:1::77:1/112", Egress6: "routed" };
  const server = await startVpn("server", network.gateway, config6(network, section, [own]));
  const { internet, gateway } = network;
  // It asks for a second whether somebody has the address.
  const isClaimed = async () =>
    (await gateway.output(["ip", "-6", "neighbour", "show", "proxy"])).includes(own);
  for (let i = 0; i < 300 && !await isClaimed(); i++) await delay(100);
  using tap = new Tap(internet, { filter: ONLY_IPV6 });
  const count = Math.round(20_000 * scale);
  for (let i = 0; i < count; i++) {
    const target = `2001:db8:1::77:${(i + 1).toString(16)}`;
    const last = bytes6(target).subarray(13);
    const group = Uint8Array.from([...bytes6("ff02::1:ff00:0").subarray(0, 13), ...last]);
    const destination = Array.from(
      { length: 8 },
      (_, k) => (group[2 * k]! << 8 | group[2 * k + 1]!).toString(16),
    ).join(":");
    const solicitation = buildIcmp6({
      ...{ source: ROUTER6, destination, hopLimit: 255, type: 135 },
      payload: Uint8Array.from([...bytes6(target), 1, 1, 2, 0, 0, 0, 0, 9]),
    });
    sendWithVnetHeader(
      { from: internet, to: gateway },
      new Uint8Array(VNET_HEADER_SIZE),
      solicitation,
    );
    if (i % 200 === 0) await delay(5);
  }
  await delay(1_500);
  const told = tap.seen().filter(({ packet }) => packet[6] === 58 && packet[40] === 136)
    .map(({ packet }) => packet.slice(48, 64));
  const others =
    told.filter((target) => !bytes6(own).every((byte, i) => target[i] === byte)).length;
  const entries = (await gateway.output(["ip", "-6", "neighbour", "show", "dev", UPLINK]))
    .split("\n").length;
  return {
    held: told.length > 0 && others === 0 && entries < 100 && isRunning(server),
    figure: `${count} solicitations: ${told.length} answers, ${others} for addresses of nobody; ` +
      `${entries} neighbours known`,
  };
}

export const IPV6_ATTACKS: readonly Attack[] = [
  {
    name: "ipv6-inside",
    title: "by IPv6: forbidden places, forged sources, header chains, neighbour discovery, noise",
    attacker: "client",
    programs: ["curl"],
    run: (topology, scale) => fromInside(topology, scale),
  },
  {
    name: "ipv6-inside-kernel",
    title: "the same with Egress = kernel",
    attacker: "client",
    programs: ["curl"],
    run: (topology, scale) => fromInside(topology, scale, { Egress: "kernel" }),
  },
  {
    name: "ipv6-outside",
    title: "by IPv6: the NAT's ports behind header chains, forged errors, hostile fragments",
    attacker: "stranger",
    programs: ["curl", "ping"],
    run: fromOutside,
  },
  {
    name: "ipv6-neighbours",
    title: "by IPv6: solicitations for all addresses of a routed network",
    attacker: "neighbour",
    run: solicitations,
  },
];
