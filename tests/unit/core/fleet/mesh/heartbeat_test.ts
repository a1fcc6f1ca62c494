/** Tests of lib/core/fleet/mesh/heartbeat.ts. */
import {
  decodeHeartbeat,
  encodeHeartbeat,
  type GatewayHeartbeat,
} from "../../../../../lib/core/fleet/mesh/heartbeat.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { FIRST_HEARTBEAT } from "../../../../support/fleet/heartbeats.ts";
import fc from "../../../../support/property.ts";
import { Random } from "../../../../support/random.ts";

const EXAMPLE: GatewayHeartbeat = {
  generation: 0xdeadbeef,
  sequence: 258,
  asks: true,
  reachesStore: false,
  isDraining: true,
  holds: false,
  vote: 3,
  term: 0x01020304,
  holder: 255,
  needsStore: true,
  clock: 1_700_000_000_000.5,
  fleetTime: 0,
  hears: new Set([0, 9, 255]),
  voters: new Set([1]),
};

const EXAMPLE_BYTES = "01100060" + "7503ff00" + "deadbeef" + "00000102" + "01020304" +
  "4278bcfe56800800" + "0000000000000000" + "0102" + "00".repeat(29) + "80" + "02" +
  "00".repeat(31);

Deno.test("a heartbeat has the bytes that its description says", () => {
  assertEquals(encodeHeartbeat(EXAMPLE).toHex(), EXAMPLE_BYTES);
  assertEquals(decodeHeartbeat(Uint8Array.fromHex(EXAMPLE_BYTES)), EXAMPLE);
});

const gateway = fc.nat(255);
const time = fc.double({ min: 0, max: 2 ** 47, noNaN: true });
const gateways = fc.uniqueArray(gateway).map((all) => new Set(all.sort((a, b) => a - b)));
const uint32 = fc.nat(0xffff_ffff);
const anyHeartbeat: fc.Arbitrary<GatewayHeartbeat> = fc.record({
  generation: uint32,
  sequence: uint32,
  asks: fc.boolean(),
  reachesStore: fc.boolean(),
  isDraining: fc.boolean(),
  holds: fc.boolean(),
  vote: fc.option(gateway),
  term: uint32,
  holder: fc.option(gateway),
  needsStore: fc.boolean(),
  clock: time,
  fleetTime: time,
  hears: gateways,
  voters: gateways,
});

Deno.test("what a heartbeat says comes out as it went in, also with padding or a later version's fields behind it", () => {
  fc.assert(fc.property(anyHeartbeat, fc.nat(40), (heartbeat, more) => {
    const bytes = encodeHeartbeat(heartbeat);
    const padded = new Uint8Array(bytes.length + more);
    padded.set(bytes);
    assertEquals(decodeHeartbeat(padded), { ...heartbeat, clock: heartbeat.clock + 0 });
    padded[3] = bytes[3]! + more;
    assertEquals(decodeHeartbeat(padded)?.term, heartbeat.term);
  }));
});

Deno.test("a heartbeat that is cut short, of another kind, or whose clock shows no time, is none", () => {
  const bytes = encodeHeartbeat(EXAMPLE);
  for (let length = 0; length < bytes.length; length++) {
    assertEquals(decodeHeartbeat(bytes.subarray(0, length)), null);
  }
  assertEquals(decodeHeartbeat(bytes.with(1, 17)), null);
  assertEquals(decodeHeartbeat(bytes.with(3, 95)), null);
  for (const clock of [NaN, Infinity, -1, 2 ** 48]) {
    assertEquals(decodeHeartbeat(encodeHeartbeat({ ...FIRST_HEARTBEAT, clock })), null);
    assertEquals(decodeHeartbeat(encodeHeartbeat({ ...FIRST_HEARTBEAT, fleetTime: clock })), null);
  }
});

Deno.test("decodeHeartbeat() takes any bytes", () => {
  const random = new Random(1);
  for (let i = 0; i < 2_000; i++) {
    const read = decodeHeartbeat(random.mutate(encodeHeartbeat(EXAMPLE), 20));
    if (read !== null) assertEquals(decodeHeartbeat(encodeHeartbeat(read)), read);
  }
});
