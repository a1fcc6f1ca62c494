/** Tests of `lib/core/flows`: what is counted by flow, when one ends, and what one peer can take of the room. */
import { type FlowLine, flowLines } from "../../../../lib/core/flows/flow_lines.ts";
import { FlowMeter } from "../../../../lib/core/flows/flow_meter.ts";
import { formatAddress } from "../../../../lib/core/wire/host_address.ts";
import type { PacketPeer } from "../../../../lib/core/wireguard/packet_peer.ts";
import {
  ACK,
  echo,
  error,
  FIN_ACK,
  SYN,
  tcp,
  udp,
  udpAnswer,
} from "../../../support/access/packets.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import type { Bytes } from "../../../support/packets/packet_builder.ts";
import { buildUdp6 } from "../../../support/packets/packet_builder6.ts";

const A = "10.66.77.2";
const B = "10.66.77.3";
const OUTSIDE = "203.0.113.9";
const A6 = "fd00:77::2";
const OUTSIDE6 = "2001:db8::9";
/** Monotonic ms at which everything begins, and Unix ms then. */
const START = 500_000.5;
const UNIX = Date.UTC(2026, 10, 28);
const RST_ACK = 0x14;

class Site {
  readonly #bytes = new Uint8Array(2048);
  readonly meter: FlowMeter;

  constructor(options: { capacity?: number; room?: number } = {}) {
    this.meter = new FlowMeter(new DataView(this.#bytes.buffer), 7, options);
  }

  /** A packet of peer 1's, or of another, `at` ms after the start. */
  pass(packet: Bytes, at = 0, peer = 1): number {
    this.#bytes.set(packet, 64);
    this.meter.count({ index: peer } as PacketPeer, 64, packet.length, START + at);
    return packet.length;
  }

  take(at: number, isLast = false): FlowLine[] {
    return [...flowLines(this.meter.take(START + at, UNIX + at, isLast))];
  }
}

function textOf({ source, destination, begun, ended, ...rest }: FlowLine): unknown {
  return {
    ...rest,
    source: formatAddress(source),
    destination: formatAddress(destination),
    times: [begun - UNIX, ended - UNIX],
  };
}

Deno.test("a flow has its ends by who began, its bytes each way, and ends a minute after its last packet", () => {
  for (const [own, far] of [[A, OUTSIDE], [OUTSIDE, A], [A6, OUTSIDE6], [OUTSIDE6, A6]] as const) {
    const site = new Site();
    const asked = own.includes(":")
      ? buildUdp6({ source: own, destination: far })
      : udp(own, far, 53);
    const ports = { sourcePort: 53, destinationPort: 40_000 };
    const answer = own.includes(":")
      ? buildUdp6({ source: far, destination: own, ...ports })
      : udpAnswer(far, own, 53);
    const sent = site.pass(asked) + site.pass(asked, 200);
    const received = site.pass(answer, 1_000);
    assertEquals(site.take(60_999), []);
    assertEquals(site.take(61_000).map(textOf), [{
      ...{ protocol: "udp", source: own, sourcePort: 40_000, destination: far },
      ...{ destinationPort: 53, sent, received, times: [0, 1_000] },
    }]);
    assertEquals(site.take(200_000, true), []);
  }
});

Deno.test("a closed connection ends soon, and the next one of the same ports is another flow", () => {
  const site = new Site();
  site.pass(tcp(A, OUTSIDE, 443, SYN));
  site.pass(tcp(A, OUTSIDE, 443, FIN_ACK), 10);
  assertEquals(site.take(6_000), [], "one end has closed");
  site.pass(tcp(A, OUTSIDE, 443, RST_ACK), 6_000);
  site.pass(tcp(A, OUTSIDE, 443, ACK), 6_100);
  site.pass(tcp(A, OUTSIDE, 443, SYN), 6_200);
  const [first, ...more] = site.take(6_300);
  assertEquals([first!.ended - UNIX, more.length], [6_100, 0]);
  const [second] = site.take(6_400, true);
  assertEquals([second!.begun - UNIX, second!.sent], [6_200, first!.sent / 4]);
});

Deno.test("a flow that goes on is told of in parts of five minutes, which add up", () => {
  const site = new Site();
  let sent = 0;
  const told: FlowLine[] = [];
  for (let at = 0; at <= 900_000; at += 30_000) {
    sent += site.pass(udp(A, OUTSIDE, 53), at);
    told.push(...site.take(at));
  }
  told.push(...site.take(900_000, true));
  assertEquals(told.reduce((sum, line) => sum + line.sent, 0), sent);
  assert(told.length === 3 || told.length === 4, `${told.length}`);
  told.forEach(({ begun, ended }) => assert(ended - begun <= 300_000 && begun <= ended));
});

Deno.test("what passes between two peers is met twice, and counted once", () => {
  const site = new Site();
  const there = udp(A, B, 53);
  const back = udpAnswer(B, A, 53);
  for (const [packet, from, to] of [[there, 1, 2], [back, 2, 1]] as const) {
    site.pass(packet, 0, from);
    site.pass(packet, 0, to);
  }
  const [line, ...more] = site.take(0, true);
  assertEquals([line!.sent, line!.received, more], [there.length, back.length, []]);
});

Deno.test("pings are flows without ports, and ICMP errors none", () => {
  const site = new Site();
  const sent = site.pass(echo(A, OUTSIDE));
  const received = site.pass(echo(OUTSIDE, A, 0));
  site.pass(error(OUTSIDE, udp(A, OUTSIDE, 53), A));
  assertEquals(site.take(0, true).map(textOf), [{
    ...{ protocol: "icmp", source: A, sourcePort: null, destination: OUTSIDE },
    ...{ destinationPort: null, sent, received, times: [0, 0] },
  }]);
});

Deno.test("one that begins flows without end has its own written early, and loses none of another's", () => {
  const site = new Site({ capacity: 64, room: 128 });
  site.pass(udp(B, OUTSIDE, 53), 0, 2);
  for (let i = 0; i < 1_000; i++) site.pass(udp(A, OUTSIDE, i + 1), 1);
  const { words, lost } = site.meter.take(START + 1, UNIX + 1);
  const lines = words.length / 11;
  // As much as it leaves to others; the rest is lost, and counted.
  assertEquals([lines, lost], [64, 1_000 - 63 - 64]);
  // The other's is still there, and what there is in the end has all the room again.
  const left = site.take(2, true);
  assertEquals(left.filter(({ source }) => formatAddress(source) === B).length, 1);
  assertEquals(left.length, 64);
});
