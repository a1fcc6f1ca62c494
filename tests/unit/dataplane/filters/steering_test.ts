/**
 * Tests of `lib/dataplane/filters/steering.ts`: the classic programs are run over packets; that the kernel does as they
 * say, and the one for a TUN, is shown in tests/net/kernel/steering_test.ts.
 */
import {
  datagramSteering,
  MAX_WORKERS,
  outsideSteering,
  outsideSteering6,
  sessionSteering,
  workerOfAddress,
  workerOfDestination,
  workerOfIndex,
} from "../../../../lib/dataplane/filters/steering.ts";
import { sliceOf, SlicePorts } from "../../../../lib/core/nat/slices/port_slice.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { runBpf } from "../../../support/packets/bpf.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildIpv6,
  buildTcp6,
  buildUdp6,
} from "../../../support/packets/packet_builder6.ts";
import { fragment6 } from "../../../support/nat/world6.ts";
import { Random } from "../../../support/random.ts";

function message(type: number, index: number, size = 32): Bytes {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, index, true);
  return bytes;
}

Deno.test("datagramSteering() gives a transport message to the worker that workerOfIndex() names", () => {
  const random = new Random(1);
  for (let count = 1; count <= MAX_WORKERS; count++) {
    const program = datagramSteering({ first: 1, count });
    for (let i = 0; i < 100; i++) {
      const index = random.below(2 ** 32);
      const worker = workerOfIndex(index, count);
      assert(worker >= 0 && worker < count);
      assertEquals(runBpf(program, message(4, index)), 1 + worker);
    }
  }
});

Deno.test("workerOfIndex() is the number in the index's low bits, for every worker that there is", () => {
  for (let count = 1; count <= MAX_WORKERS; count++) {
    for (let worker = 0; worker < count; worker++) {
      assertEquals(workerOfIndex((0xabcd_e120 | worker) | 0, count), worker);
    }
  }
});

Deno.test("datagramSteering() gives all but transport messages to socket 0", () => {
  const program = datagramSteering({ first: 1, count: 15 });
  for (const type of [0, 1, 2, 3, 5, 0x104, 0xffff_ffff]) {
    assertEquals(runBpf(program, message(type, 7)), 0, `type ${type}`);
  }
  for (const size of [0, 1, 3, 4]) {
    assertEquals(runBpf(program, message(4, 7).slice(0, size)), 0, `${size} bytes`);
  }
});

Deno.test("sessionSteering() gives a session's message to its lane's socket, all else to socket 0", () => {
  const indices = [7, 0xdead_beef, 0x8000_0001];
  const program = sessionSteering(indices);
  for (let size = 32; size < 64; size++) {
    for (const index of indices) {
      assertEquals(runBpf(program, message(4, index, size)), 1 + size % 16, `${size} bytes`);
    }
    assertEquals(runBpf(program, message(4, 8, size)), 0);
    for (const type of [1, 2, 3]) assertEquals(runBpf(program, message(type, 7, size)), 0);
  }
  for (const size of [0, 4, 7]) {
    assertEquals(runBpf(program, message(4, 7).slice(0, size)), 0, `${size} bytes`);
  }
});

Deno.test("workerOfDestination() spreads addresses evenly, in a row or at a distance", () => {
  for (const distance of [1, 2, 3, 4, 16, 256]) {
    for (let count = 1; count <= MAX_WORKERS; count++) {
      const shares = new Array<number>(count).fill(0);
      for (let i = 0; i < 3000; i++) {
        const worker = workerOfDestination((0x0a42_4d00 + i * distance) | 0, count);
        shares[worker] = shares[worker]! + 1;
      }
      const least = Math.min(...shares) * count / 3000;
      const most = Math.max(...shares) * count / 3000;
      assert(least > 0.75 && most < 1.25, `${count} workers, ${distance} apart: ${shares}`);
    }
  }
});

Deno.test("workerOfDestination() takes an address as int32 and as uint32", () => {
  assertEquals(workerOfDestination(0xc0a8_0107, 7), workerOfDestination(0xc0a8_0107 | 0, 7));
});

Deno.test("workerOfAddress() spreads addresses of IPv6 evenly, whichever word tells them apart", () => {
  for (const word of [0, 1, 2, 3]) {
    for (const count of [2, 3, 15]) {
      const shares = new Array<number>(count).fill(0);
      for (let i = 0; i < 3000; i++) {
        const groups = ["2001", "db8", "77", "0", "0", "0", "0", "1"];
        groups[2 * word + 1] = (0x1000 + i).toString(16);
        const worker = workerOfAddress(groups.join(":"), count);
        shares[worker] = shares[worker]! + 1;
      }
      const least = Math.min(...shares) * count / 3000;
      const most = Math.max(...shares) * count / 3000;
      assert(least > 0.75 && most < 1.25, `${count} workers, word ${word}: ${shares}`);
    }
  }
});

const RANGE = { first: 30_000, last: 39_999 };
const SLICES = {
  range: RANGE,
  count: 3,
  forwards: [
    { protocol: 6, port: 8080, socket: 3 },
    { protocol: 17, port: 8080, socket: 4 },
    { protocol: 6, port: 39_990, socket: 5 },
  ],
} as const;
const EDGES = [[29_999, 0], [30_000, 0], [30_007, 0], [30_008, 1], [30_015, 1], [30_016, 2]].concat(
  [[30_024, 0], [39_999, 1], [40_000, 0], [0, 0], [65_535, 0]],
) as [number, number][];
const OPTIONS = [1, 1, 1, 1, 1, 1, 1];

const steer = (packet: Bytes) => runBpf(outsideSteering(SLICES), packet);

Deno.test("outsideSteering() goes by the destination port of TCP and UDP, behind options too", () => {
  for (const options of [[], OPTIONS]) {
    for (const [destinationPort, socket] of EDGES) {
      const fields = { options, destinationPort, sourcePort: 34_016 };
      assertEquals(steer(buildTcp(fields)), socket, `TCP ${destinationPort}`);
      assertEquals(steer(buildUdp(fields)), socket, `UDP ${destinationPort}`);
    }
  }
});

Deno.test("outsideSteering() gives a forwarded port of a protocol to the worker of its client, in the range too", () => {
  assertEquals(steer(buildTcp({ destinationPort: 39_990 })), 5);
  assertEquals(steer(buildUdp({ destinationPort: 39_990 })), (9990 >> 3) % 3);
  assertEquals(steer(buildTcp({ destinationPort: 8080 })), 3);
  assertEquals(steer(buildUdp({ destinationPort: 8080 })), 4);
  assertEquals(steer(buildIcmp({ type: 0, identifier: 8080 })), 0);
});

Deno.test("outsideSteering() goes by the identifier of an echo reply, and by no other query", () => {
  for (const [identifier, socket] of EDGES) {
    assertEquals(steer(buildIcmp({ type: 0, identifier, options: OPTIONS })), socket);
    for (const type of [8, 13, 14, 17]) assertEquals(steer(buildIcmp({ type, identifier })), 0);
  }
});

Deno.test("outsideSteering() goes by what an ICMP error quotes of ours, behind options in either header", () => {
  for (const [port, socket] of EDGES) {
    for (const inner of [[], OPTIONS]) {
      const sent = { sourcePort: port, destinationPort: 34_016, options: inner };
      const quotes = [
        buildTcp(sent),
        buildUdp(sent),
        buildIcmp({ type: 8, identifier: port, options: inner }),
      ];
      for (const type of [3, 4, 5, 11, 12]) {
        for (const payload of quotes) {
          for (const options of [[], OPTIONS]) {
            assertEquals(steer(buildIcmp({ type, payload, options })), socket);
          }
        }
      }
    }
  }
  // Of another protocol.
  assertEquals(steer(buildIcmp({ type: 3, payload: buildIpv4({ protocol: 47 }) })), 0);
});

Deno.test("outsideSteering() has all fragments of a packet meet at socket 0", () => {
  const packet = buildUdp({ destinationPort: 34_016, payload: new Uint8Array(3000).fill(0x84) });
  const pieces = fragment(packet, 1000);
  assert(pieces.length > 2);
  assertEquals(pieces.map(steer), pieces.map(() => 0));
  assertEquals(steer(packet), 1);
});

Deno.test("outsideSteering() gives other protocols, and what is too short, to socket 0", () => {
  assertEquals(steer(buildIpv4({ protocol: 47, payload: new Uint8Array(40).fill(0x84) })), 0);
  const packet = buildTcp({ destinationPort: 34_016 });
  for (let size = 0; size < 24; size++) assertEquals(steer(packet.slice(0, size)), 0, `${size}`);
  assertEquals(steer(packet.slice(0, 24)), 1);
});

Deno.test("outsideSteering() gives each port, whatever the range and count, to who has it by sliceOf()", () => {
  const random = new Random(2);
  for (let count = 1; count <= MAX_WORKERS; count++) {
    const first = 1 + random.below(40_000);
    const range = { first, last: first + 1 + random.below(20_000) };
    const program = outsideSteering({ range, count, forwards: [] });
    for (let i = 0; i < 100; i++) {
      const port = range.first + random.below(range.last - range.first + 1);
      const socket = sliceOf(range, count, port);
      assert(new SlicePorts({ ...range, count, number: socket }).has(port));
      assertEquals(runBpf(program, buildUdp({ destinationPort: port })), socket);
      assertEquals(runBpf(program, buildIcmp({ type: 0, identifier: port })), socket);
    }
  }
});

Deno.test("outsideSteering() refuses more forwarded ports than a program can name", () => {
  const forwards = Array.from({ length: 2100 }, (_, i) => ({
    protocol: 6,
    port: i * 2,
    socket: i % 3,
  }));
  const program = outsideSteering({ ...SLICES, forwards: forwards.slice(0, 1900) });
  assertEquals(runBpf(program, buildTcp({ destinationPort: 796 })), 398 % 3);
  assertThrows(() => outsideSteering({ ...SLICES, forwards }), RangeError);
});

const steer6 = (packet: Bytes) => runBpf(outsideSteering6(SLICES), packet);

/** An echo, or its reply. */
function echo6(type: number, identifier: number): Bytes {
  const packet = buildIcmp6({ type });
  new DataView(packet.buffer).setUint16(44, identifier);
  return packet;
}

Deno.test("outsideSteering6() goes by ports, by the identifier of an echo reply, and by what an error quotes", () => {
  for (const [port, socket] of EDGES) {
    const fields = { destinationPort: port, sourcePort: 34_016 };
    assertEquals(steer6(buildTcp6(fields)), socket, `TCP ${port}`);
    assertEquals(steer6(buildUdp6(fields)), socket, `UDP ${port}`);
    assertEquals(steer6(echo6(129, port)), socket, `echo reply ${port}`);
    assertEquals(steer6(echo6(128, port)), 0);
    const sent = { sourcePort: port, destinationPort: 34_016 };
    for (const payload of [buildTcp6(sent), buildUdp6(sent), echo6(128, port)]) {
      for (const type of [1, 2, 3, 4]) {
        assertEquals(steer6(buildIcmp6({ type, payload })), socket, `type ${type}`);
      }
      assertEquals(steer6(buildIcmp6({ type: 135, payload })), 0);
    }
  }
});

Deno.test("outsideSteering6() gives what has extension headers, other protocols, and what is too short to socket 0", () => {
  const packet = buildUdp6({ destinationPort: 34_016, payload: new Uint8Array(3000).fill(0x84) });
  assertEquals(steer6(packet), 1);
  const pieces = fragment6(packet, 1280, 7);
  assertEquals(pieces.map(steer6), pieces.map(() => 0));
  const options: [number, number[]] = [60, [0, 0, 1, 4, 0, 0, 0, 0]];
  const payload = new Uint8Array(40).fill(0x84);
  assertEquals(steer6(buildIpv6({ extensions: [options], protocol: 17, payload })), 0);
  for (const protocol of [47, 59]) assertEquals(steer6(buildIpv6({ protocol, payload })), 0);
  assertEquals(steer6(buildIcmp6({ type: 3, payload: buildIpv6({ protocol: 47 }) })), 0);
  for (let size = 0; size < 44; size++) assertEquals(steer6(packet.slice(0, size)), 0, `${size}`);
  assertEquals(steer6(packet.slice(0, 44)), 1);
});
