/** Tests of access rules on a packet's way through lib/core/engine: from peers, the host and outside, and back. */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { AccessSite, inner6 } from "../../../support/access/site.ts";
import { ADDRESSES, GATEWAY, GATEWAY6 } from "../../../support/access/world.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
} from "../../../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildIpv6,
  buildTcp6,
  buildUdp6,
} from "../../../support/packets/packet_builder6.ts";
import type { SimulatedDevice } from "../../../support/packets/simulated_device.ts";

const { laptop, printer, phone } = ADDRESSES as Record<string, string>;
const SYN = 0x02;

Deno.test("a denied packet goes nowhere, and its sender is told: administratively prohibited, ten times a second", () => {
  const site = new AccessSite({ laptop: { allow: "peer:printer udp/631" } });
  const { simulation, gateway, clients } = site;
  const denied = buildTcp({ source: laptop!, destination: phone!, flags: SYN });
  for (let i = 0; i < 25; i++) clients["laptop"]!.send(denied);
  assertEquals(site.taken(clients["phone"]!), []);
  assertEquals(gateway.dropped(DropReason.accessDenied), 25);
  const told = site.taken(clients["laptop"]!);
  assertEquals(told.length, 10);
  const [error] = told as [Uint8Array];
  // From the destination to the sender, ICMP, type 3 code 13, with the packet quoted.
  const view = new DataView(error.buffer);
  assertEquals([error[9], error[20], error[21]], [1, 3, 13]);
  assertEquals([view.getInt32(12), view.getInt32(16)], [0x0a424d04, 0x0a424d02]);
  assertEquals(error.slice(28), denied);
  simulation.run(1000);
  clients["laptop"]!.send(denied);
  assertEquals(site.taken(clients["laptop"]!).length, 1);
  clients["laptop"]!.send(
    buildUdp({ source: laptop!, destination: printer!, destinationPort: 631 }),
  );
  assertEquals(site.taken(clients["printer"]!).length, 1);
});

Deno.test("an ICMP error, and an answer to nothing, is not answered with an error of ours", () => {
  const site = new AccessSite({ laptop: { allow: "internet" } });
  const { clients, gateway } = site;
  const payload = buildUdp({ source: phone!, destination: laptop! });
  clients["laptop"]!.send(
    buildIcmp({ source: laptop!, destination: phone!, type: 3, payload }),
  );
  assertEquals(site.taken(clients["phone"]!), []);
  assertEquals(site.taken(clients["laptop"]!), []);
  assertEquals(gateway.dropped(DropReason.accessDenied), 1);
});

for (const workers of [undefined, 2, 3]) {
  const how = workers === undefined ? "by one thread" : `by ${workers} packet workers`;

  Deno.test(`peers answer what others begin with them, and begin nothing that is denied: ${how}`, () => {
    const site = new AccessSite(
      { printer: { allow: "internet" }, laptop: { allow: "peer:printer" } },
      workers === undefined ? {} : { workers },
    );
    const { gateway, clients } = site;
    const question = {
      source: laptop!,
      destination: printer!,
      sourcePort: 5000,
      destinationPort: 631,
    };
    const answer = {
      source: printer!,
      destination: laptop!,
      sourcePort: 631,
      destinationPort: 5000,
    };
    clients["printer"]!.send(buildUdp(answer));
    assertEquals(site.taken(clients["laptop"]!), []);
    assertEquals(site.taken(clients["printer"]!).length, 1);
    for (let round = 0; round < 3; round++) {
      clients["laptop"]!.send(buildUdp(question));
      assertEquals(site.taken(clients["printer"]!), [buildUdp(question)]);
      clients["printer"]!.send(buildUdp(answer));
      assertEquals(site.taken(clients["laptop"]!), [buildUdp(answer)]);
    }
    // The host begins as well, and is answered.
    const ofHost = { ...question, source: GATEWAY };
    gateway.send(buildUdp(ofHost));
    assertEquals(site.taken(clients["printer"]!), [buildUdp(ofHost)]);
    clients["printer"]!.send(buildUdp({ ...answer, destination: GATEWAY }));
    assertEquals(site.taken(gateway).length, 1);
    // What is denied now ends now, both ways.
    site.set({ printer: { allow: "internet" }, laptop: { allow: "internet" } });
    clients["printer"]!.send(buildUdp(answer));
    clients["laptop"]!.send(buildUdp(question));
    assertEquals(site.taken(clients["printer"]!).filter((packet) => packet[9] !== 1), []);
    assertEquals(site.taken(clients["laptop"]!).filter((packet) => packet[9] !== 1), []);
  });
}

Deno.test("a flow through the NAT is cut in both directions, and what is not denied goes on", () => {
  const site = new AccessSite({ laptop: { allow: "internet" } }, { external: "203.0.113.5" });
  const { simulation, gateway, clients } = site;
  const outside: Uint8Array[] = [];
  const { outside: queue } = gateway.nat!;
  gateway.capture!.onFlush = () => {
    for (let i = 0; i < queue.length; i++) {
      const at = queue.offsets[i]!;
      outside.push(gateway.memory.bytes.slice(at, at + queue.lengths[i]!));
    }
    queue.clear();
  };
  const send = (destination: string, flags: number) => {
    clients["laptop"]!.send(
      buildTcp({ source: laptop!, destination, destinationPort: 443, flags }),
    );
    simulation.run(100);
    return outside.splice(0);
  };
  const answer = (packet: Uint8Array, source: string) => {
    const port = new DataView(packet.buffer, packet.byteOffset).getUint16(20);
    gateway.capture!.arrive(
      buildTcp({ source, destination: "203.0.113.5", sourcePort: 443, destinationPort: port }),
    );
    gateway.engine.readCapture(simulation.now);
    simulation.run(100);
    return clients["laptop"]!.tun.written.splice(0);
  };
  const [one, other] = ["198.51.100.7", "198.51.100.8"];
  const [toOne] = send(one, SYN) as [Uint8Array];
  const [toOther] = send(other, SYN) as [Uint8Array];
  assertEquals([answer(toOne, one).length, answer(toOther, other).length], [1, 1]);
  assertEquals(send("192.168.1.9", SYN), []);
  site.set({ laptop: { allow: "internet", deny: one } });
  clients["laptop"]!.tun.written.length = 0;
  assertEquals([answer(toOne, one).length, answer(toOther, other).length], [0, 1]);
  assertEquals([send(one, 0x10).length, send(other, 0x10).length], [0, 1]);
  assert(gateway.dropped(DropReason.accessDenied) >= 3, gateway.dropReport());
});

Deno.test("a super-packet is judged as one, from the host and from outside", () => {
  const site = new AccessSite({ laptop: { deny: GATEWAY } });
  const { gateway, clients } = site;
  const packet = buildTcp({
    source: GATEWAY,
    destination: laptop!,
    sourcePort: 80,
    payload: new Uint8Array(300),
  });
  const header = new Uint8Array(10);
  header.set([1, 1]);
  const view = new DataView(header.buffer);
  view.setUint16(2, 40, true);
  view.setUint16(4, 100, true);
  view.setUint16(6, 20, true);
  view.setUint16(8, 16, true);
  gateway.tun.send(packet, header);
  gateway.readTun();
  assertEquals(site.taken(clients["laptop"]!).length, 3);
  clients["laptop"]!.send(
    buildTcp({ source: laptop!, destination: GATEWAY, sourcePort: 40_000, destinationPort: 80 }),
  );
  assertEquals(site.taken(gateway).length, 0);
});

for (const workers of [undefined, 2, 3]) {
  const how = workers === undefined ? "by one thread" : `by ${workers} packet workers`;

  Deno.test(`packets of IPv6 are judged by the same rules, and the sender of a denied one is told: ${how}`, () => {
    const [laptop6, printer6, phone6] = [0, 1, 2].map(inner6) as [string, string, string];
    const allow = "peer:printer tcp/631, fd00:77::4 udp/53, icmp";
    const site = new AccessSite(
      { laptop: { allow }, printer: { allow: "gateway" } },
      workers === undefined ? {} : { workers },
      true,
    );
    const { gateway, clients } = site;
    const [laptopEnd, printerEnd, phoneEnd] = ["laptop", "printer", "phone"].map((name) =>
      clients[name]!
    ) as [SimulatedDevice, SimulatedDevice, SimulatedDevice];
    const tcp = { source: laptop6, destination: printer6, sourcePort: 5000, destinationPort: 631 };
    const answer = {
      source: printer6,
      destination: laptop6,
      sourcePort: 631,
      destinationPort: 5000,
    };
    printerEnd.send(buildTcp6(answer));
    assertEquals([site.taken(laptopEnd).length, site.taken(printerEnd).length], [0, 1]);
    laptopEnd.send(buildTcp6({ ...tcp, flags: SYN }));
    assertEquals(site.taken(printerEnd).length, 1);
    printerEnd.send(buildTcp6(answer));
    assertEquals(site.taken(laptopEnd).length, 1);
    laptopEnd.send(buildTcp6({ ...tcp, destinationPort: 632, flags: SYN }));
    assertEquals(site.taken(printerEnd), []);
    const [error] = site.taken(laptopEnd) as [Uint8Array];
    // ICMPv6, type 1 code 1.
    assertEquals([error[6], error[40], error[41]], [58, 1, 1]);
    laptopEnd.send(buildUdp6({ source: laptop6, destination: phone6, destinationPort: 53 }));
    laptopEnd.send(buildUdp6({ source: laptop6, destination: phone6, destinationPort: 54 }));
    assertEquals(site.taken(phoneEnd).length, 1);
    // The gateway's host begins, and is answered; an echo request is answered by its reply alone.
    gateway.send(buildIcmp6({ source: GATEWAY6, destination: printer6, type: 128 }));
    printerEnd.send(buildIcmp6({ source: printer6, destination: laptop6, type: 129 }));
    printerEnd.send(buildIcmp6({ source: printer6, destination: GATEWAY6, type: 129 }));
    assertEquals([site.taken(printerEnd).length, site.taken(gateway).length], [2, 1]);
    laptopEnd.send(buildIcmp6({ source: laptop6, destination: printer6, type: 128 }));
    printerEnd.send(buildIcmp6({ source: printer6, destination: laptop6, type: 129 }));
    site.taken(laptopEnd);
    // What is about a flow that passes, and what is about none.
    const about = (packet: Uint8Array) =>
      buildIcmp6({ source: printer6, destination: laptop6, type: 1, code: 4, payload: packet });
    // Workers tell of drops ten times a second.
    site.taken(laptopEnd);
    const before = gateway.dropped(DropReason.accessDenied);
    printerEnd.send(about(buildTcp6(tcp)));
    assertEquals([site.taken(laptopEnd).length, gateway.dropped(DropReason.accessDenied)], [
      1,
      before,
    ]);
    printerEnd.send(about(buildTcp6({ ...tcp, sourcePort: 5001 })));
    assertEquals([...site.taken(laptopEnd), ...site.taken(laptopEnd)], []);
    assertEquals(gateway.dropped(DropReason.accessDenied), before + 1);
  });
}

Deno.test("ICMP of the other family is none to a rule", () => {
  const [laptop6, printer6] = [0, 1].map(inner6) as [string, string];
  const site = new AccessSite({ laptop: { allow: "peer:printer icmp" } }, {}, true);
  const passes = (packet: Bytes) => {
    site.clients["laptop"]!.send(packet);
    return site.taken(site.clients["printer"]!).length === 1;
  };
  const payload = Uint8Array.of(8, 0, 0, 0, 0, 7, 0, 1);
  const four = { source: laptop!, destination: printer! };
  const six = { source: laptop6, destination: printer6 };
  assertEquals([
    passes(buildIpv4({ ...four, protocol: 1, payload })),
    passes(buildIpv4({ ...four, protocol: 58, payload })),
    passes(buildIcmp6({ ...six, type: 128 })),
    passes(buildIpv6({ ...six, protocol: 1, payload })),
    // What stood in memory behind such a packet was taken for its type.
    passes(buildIpv6({ ...six, protocol: 1 })),
  ], [true, false, true, false, false]);
});

Deno.test("fragments of IPv6 follow their first", () => {
  const [laptop6, printer6] = [0, 1].map(inner6) as [string, string];
  const site = new AccessSite({ laptop: { allow: "peer:printer udp/631" } }, {}, true);
  const sent = (destinationPort: number, identification: number) => {
    const whole = buildUdp6({
      source: laptop6,
      destination: printer6,
      destinationPort,
      payload: new Uint8Array(40),
    }).slice(40);
    const part = (payload: Uint8Array, units: number, hasMore: boolean) =>
      buildIpv6({
        source: laptop6,
        destination: printer6,
        protocol: 17,
        extensions: [[44, [
          0,
          0,
          units >> 5,
          units << 3 & 0xf8 | Number(hasMore),
          0,
          0,
          0,
          identification,
        ]]],
        payload,
      });
    site.clients["laptop"]!.send(
      part(whole.slice(0, 16), 0, true),
      part(whole.slice(16), 2, false),
    );
    return site.taken(site.clients["printer"]!).length;
  };
  assertEquals([sent(631, 1), sent(632, 2)], [2, 0]);
});
