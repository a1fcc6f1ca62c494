/** Tests of lib/core/access/access_control.ts: flows, their answers and their end, changes, and several threads. */
import { FLOW_CAPACITY, flowTableSize } from "../../../../lib/core/access/flow_table.ts";
import { assertEquals } from "../../../support/assert.ts";
import { AccessWorld } from "../../../support/access/world.ts";
import type { Bytes } from "../../../support/packets/packet_builder.ts";
import {
  ACK,
  echo,
  error,
  FIN_ACK,
  laptop,
  phone,
  printer,
  server,
  SYN,
  SYN_ACK,
  tcp,
  tcpAnswer,
  udp,
  udpAnswer,
} from "../../../support/access/packets.ts";

Deno.test("a peer answers what others have begun with it, and no other packet of it passes", () => {
  const world = new AccessWorld({ printer: { allow: "internet" } });
  assertEquals(world.sends(udpAnswer(printer, laptop, 631)), false);
  assertEquals(world.sends(udp(laptop, printer, 631)), true);
  assertEquals(world.sends(udpAnswer(printer, laptop, 631)), true);
  assertEquals(world.sends(udpAnswer(printer, laptop, 632)), false);
  assertEquals(world.sends(udpAnswer(printer, phone, 631)), false);
  assertEquals(world.sends(udp(printer, laptop, 40_000, 80)), false);
});

Deno.test("a peer that may not be gone to answers nobody: no packet of the other's has passed", () => {
  const world = new AccessWorld({
    laptop: { deny: "peer:printer" },
    printer: { allow: "gateway" },
  });
  assertEquals(world.sends(udp(laptop, printer, 631)), false);
  assertEquals(world.sends(udpAnswer(printer, laptop, 631)), false);
});

Deno.test("a connection of TCP is answered, and none is begun the other way round in it", () => {
  const world = new AccessWorld({ printer: { allow: "internet" } });
  assertEquals(world.sends(tcp(laptop, printer, 9100)), true);
  assertEquals(world.sends(tcpAnswer(printer, laptop, 9100)), true);
  assertEquals(world.sends(tcpAnswer(printer, laptop, 9100, SYN)), false);
  assertEquals(world.sends(tcpAnswer(printer, laptop, 9100, ACK)), true);
});

Deno.test("an echo request is answered by its reply alone", () => {
  const world = new AccessWorld({ printer: { allow: "internet" } });
  assertEquals(world.sends(echo(printer, laptop, 0)), false);
  assertEquals(world.sends(echo(laptop, printer, 8)), true);
  assertEquals(world.sends(echo(printer, laptop, 0)), true);
  assertEquals(world.sends(echo(printer, laptop, 8)), false);
  assertEquals(world.sends(echo(printer, laptop, 0, 78)), false);
});

Deno.test("a peer answers the host, and what has come by a forwarded port; nobody who came by another", () => {
  const world = new AccessWorld({ server: { allow: "gateway" } });
  const outside = "198.51.100.7";
  assertEquals(world.receives(udp("192.168.1.9", server, 80)), true);
  assertEquals(world.sends(udpAnswer(server, "192.168.1.9", 80)), true);
  assertEquals(world.receivesFromOutside(udp(outside, server, 81), false), true);
  assertEquals(world.sends(udpAnswer(server, outside, 81)), false);
  assertEquals(world.receivesFromOutside(udp(outside, server, 81), true), true);
  assertEquals(world.sends(udpAnswer(server, outside, 81)), true);
});

Deno.test("a flow ends in five minutes without a packet, one of ICMP in one, a connection in two hours", () => {
  const ends: [string, Bytes, Bytes, Bytes, number][] = [
    ["UDP", udp(laptop, printer, 1), udpAnswer(printer, laptop, 1), new Uint8Array(), 300],
    ["ICMP", echo(laptop, printer), echo(printer, laptop, 0), new Uint8Array(), 60],
    [
      "TCP",
      tcp(laptop, printer, 1),
      tcpAnswer(printer, laptop, 1),
      tcp(laptop, printer, 1, ACK),
      7440,
    ],
    [
      "TCP that ends",
      tcp(laptop, printer, 1),
      tcpAnswer(printer, laptop, 1),
      tcp(laptop, printer, 1, FIN_ACK),
      240,
    ],
  ];
  for (const [what, begin, answer, more, seconds] of ends) {
    const world = new AccessWorld({ printer: { allow: "internet" } });
    world.sends(begin);
    assertEquals(world.sends(answer), true, what);
    if (more.length > 0) world.sends(more);
    world.now = (seconds - 1) * 1000;
    assertEquals(world.sends(answer), true, what);
    world.now += seconds * 1000;
    assertEquals(world.sends(answer), false, what);
  }
});

// Changes.

Deno.test("what a change denies ends with the next packet, in both directions", () => {
  const world = new AccessWorld({ laptop: { allow: "internet" }, printer: { allow: "gateway" } });
  const up = tcp(laptop, "198.51.100.7", 443);
  const down = tcpAnswer("198.51.100.7", laptop, 443, ACK);
  assertEquals([world.sends(up), world.receivesFromOutside(down, false)], [true, true]);
  world.set({ laptop: { allow: "internet", deny: "198.51.100.0/24" } });
  assertEquals(world.receivesFromOutside(down, false), false);
  assertEquals(world.sends(tcp(laptop, "198.51.100.7", 443, ACK)), false);
  assertEquals(world.sends(up), false);
  world.set({ laptop: { allow: "internet" } });
  assertEquals(world.receivesFromOutside(down, false), true);
  assertEquals(world.sends(tcp(laptop, "198.51.100.7", 443, ACK)), true);
});

Deno.test("answers end with the flow that they belong to, when the beginner may not begin it any more", () => {
  const world = new AccessWorld({ printer: { allow: "internet" } });
  world.sends(udp(laptop, printer, 631));
  assertEquals(world.sends(udpAnswer(printer, laptop, 631)), true);
  world.set({ laptop: { deny: "peer:printer" }, printer: { allow: "internet" } });
  assertEquals(world.sends(udpAnswer(printer, laptop, 631)), false);
  assertEquals(world.sends(udp(laptop, printer, 631)), false);
});

Deno.test("a connection that was cut does not go on by the other end's sending on", () => {
  const world = new AccessWorld({ laptop: { allow: "peer:server" } });
  world.sends(tcp(laptop, server, 22));
  assertEquals(world.sends(tcpAnswer(server, laptop, 22, ACK)), true);
  world.set({ laptop: { allow: "internet" } });
  assertEquals(world.sends(tcp(laptop, server, 22, ACK)), false);
  // The server may send what it likes, and has no connection by that which is to be answered.
  world.sends(tcpAnswer(server, laptop, 22, ACK));
  assertEquals(world.sends(tcp(laptop, server, 22, ACK)), false);
  // One that it begins itself is.
  assertEquals(world.sends(tcpAnswer(server, laptop, 22, SYN)), true);
  assertEquals(world.sends(tcp(laptop, server, 22, SYN_ACK)), true);
});

Deno.test("a flow that was cut stays so as long as the other end sends on", () => {
  const outside = "198.51.100.7";
  const world = new AccessWorld({ laptop: { allow: "internet" } });
  const up = udp(laptop, outside, 443);
  const down = udpAnswer(outside, laptop, 443);
  assertEquals([world.sends(up), world.receives(down)], [true, true]);
  world.set({ laptop: { allow: "lan" } });
  assertEquals(world.sends(up), false);
  for (let second = 0; second <= 400; second += 100) {
    world.now = second * 1000;
    assertEquals(world.receives(down), false);
  }
  assertEquals(world.sends(up), false);
});

Deno.test("connections that were there before the start go on, until rules change for the first time", () => {
  const world = new AccessWorld({ server: { allow: "internet" } });
  assertEquals(world.sends(tcp(laptop, server, 22, ACK)), true);
  assertEquals(world.sends(tcpAnswer(server, laptop, 22, ACK)), true);
  world.set({ server: { allow: "internet, lan" } });
  assertEquals(world.sends(tcpAnswer(server, laptop, 22, ACK)), true);
  world.sends(tcp(phone, server, 22, ACK));
  assertEquals(world.sends(tcpAnswer(server, phone, 22, ACK)), false);
});

Deno.test("a peer that joins a group, or leaves it, is another target at once", () => {
  const world = new AccessWorld({ laptop: { allow: "group:office" } }, { office: {} });
  const packet = tcp(laptop, phone, 443);
  assertEquals(world.sends(packet), false);
  world.set({ laptop: { allow: "group:office" }, phone: { groups: ["office"] } }, { office: {} });
  assertEquals(world.sends(packet), true);
  world.set({ laptop: { allow: "group:office" } }, { office: {} });
  assertEquals(world.sends(packet), false);
});

Deno.test("a peer that gets another's address is judged by its own rules, in flows of before as well", () => {
  const world = new AccessWorld({ phone: { allow: "internet" } });
  world.sends(udp(laptop, printer, 631));
  const phonePeer = world.peers.get("phone")!;
  world.allowedIps.insert(0x0a424d02, 32, phonePeer);
  assertEquals(world.sends(udp(laptop, printer, 631)), false);
});

// Threads.

/** Two threads, each with its control: the laptop's packets come to the one, all others to the other. */
function twoThreads(peers: ConstructorParameters<typeof AccessWorld>[0]): {
  one: AccessWorld;
  other: AccessWorld;
} {
  const flows = [0, 1].map(() => new SharedArrayBuffer(flowTableSize(FLOW_CAPACITY)));
  const world = (own: number) => new AccessWorld(peers, {}, { shared: { flows, own } });
  return { one: world(0), other: world(1) };
}

Deno.test("an answer passes in another thread than the one that knows of the question", () => {
  const { one, other } = twoThreads({ printer: { allow: "internet" } });
  assertEquals(other.sends(udpAnswer(printer, laptop, 631)), false);
  one.sends(udp(laptop, printer, 631));
  assertEquals(other.sends(udpAnswer(printer, laptop, 631)), true);
  assertEquals(other.sends(udpAnswer(printer, laptop, 632)), false);
  // Even where the other thread has it no more.
  other.now = one.now = 200_000;
  assertEquals(other.sends(udpAnswer(printer, laptop, 631)), true);
  other.now = 400_000;
  assertEquals(other.sends(udpAnswer(printer, laptop, 631)), true);
});

Deno.test("what a change denies ends in each thread, though the other still knows of the flow", () => {
  const { one, other } = twoThreads({ printer: { allow: "internet" } });
  one.sends(udp(laptop, printer, 631));
  assertEquals(other.sends(udpAnswer(printer, laptop, 631)), true);
  const changed = { printer: { allow: "internet" }, laptop: { deny: "peer:printer" } };
  for (const each of [one, other]) each.set(changed);
  assertEquals(other.sends(udpAnswer(printer, laptop, 631)), false);
  assertEquals(one.sends(udp(laptop, printer, 631)), false);
});

Deno.test("an ICMP error about a flow passes in another thread, and no more when the flow does not", () => {
  const { one, other } = twoThreads({ printer: { allow: "internet" } });
  const begin = udp(laptop, printer, 631);
  assertEquals(other.sends(error(printer, begin, laptop)), false);
  one.sends(begin);
  assertEquals(other.sends(error(printer, begin, laptop)), true);
  const changed = { printer: { allow: "internet" }, laptop: { deny: "peer:printer" } };
  for (const each of [one, other]) each.set(changed);
  assertEquals(other.sends(error(printer, begin, laptop)), false);
});
