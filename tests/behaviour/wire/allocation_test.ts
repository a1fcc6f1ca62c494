/** A test that what runs for each packet allocates nothing, once the engine has optimised it. */
import { AllowedIps } from "../../../lib/core/wireguard/allowed_ips.ts";
import { AllowedIps6 } from "../../../lib/core/wireguard/allowed_ips6.ts";
import { HandshakeRateLimiter } from "../../../lib/core/wireguard/handshake/rate_limiter.ts";
import {
  finish,
  pseudoHeaderSum,
  sum,
  update16,
  update32,
} from "../../../lib/core/wire/checksum.ts";
import { DropCounters, type DropReason } from "../../../lib/core/wire/drop_reason.ts";
import * as ipv4 from "../../../lib/core/wire/ipv4.ts";
import * as ipv6 from "../../../lib/core/wire/ipv6.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { transportSize } from "../../../lib/core/wire/messages.ts";
import * as tcp from "../../../lib/core/wire/tcp.ts";
import { assert } from "../../support/assert.ts";
import { heapGrowth } from "../../support/heap_growth.ts";
import { buildTcp6 } from "../../support/packets/packet_builder6.ts";
import { TCP_DATA, UDP_LOOSE_SOURCE_ROUTE } from "../../support/wire/real_packets.ts";

/** Calls for which a single 16-byte object each would show as 3.2 MB. */
const CALLS = 200_000;

/** Less than a quarter of the smallest object for each call is the runtime's own doing. */
const TOLERANCE = 4 * CALLS;

const memory = createMemory(4096);
memory.bytes.set(TCP_DATA, 64);
memory.bytes.set(UDP_LOOSE_SOURCE_ROUTE, 256);
const TCP6 = buildTcp6({ source: "fd00:77::ffff:2", payload: new Uint8Array(500) });
/** With addresses whose words have the top bit, and an extension header. */
const TCP6_OPTIONS = buildTcp6({
  source: "fd00:77:8000::ffff:ffff",
  extensions: [[60, [0, 0, 1, 4, 0, 0, 0, 0]]],
});
memory.bytes.set(TCP6, 1024);
memory.bytes.set(TCP6_OPTIONS, 2048);
const table6 = new AllowedIps6<object>();
for (const prefix of ["::/0", "fd00:77::/64", "fd00:77::ffff:2/128"]) table6.insert(prefix, {});
const view = memory.view;
const table = new AllowedIps<object>();
table.insert(0x0a424d00, 24, {});
table.insert(0x0a424d02, 32, {});
const limiter = new HandshakeRateLimiter(1);
const drops = new DropCounters();
let sink = 0;
/**
 * In an array: a number of its own would be boxed whenever it changes. Whole ms: a fraction is an object on the heap
 * where a call that is not inlined is given it, and that is the test's own.
 */
const clock = new Int32Array([1]);

const paths: Record<string, () => void> = {
  "checkIpv4() of a good packet": () => {
    sink += ipv4.checkIpv4(memory, 64, TCP_DATA.length);
  },
  "checkIpv4() of a bad packet, counted": () => {
    const reason: DropReason = ipv4.checkIpv4(memory, 256, UDP_LOOSE_SOURCE_ROUTE.length);
    drops.add(reason);
  },
  "checkIpv6() of good packets": () => {
    sink += ipv6.checkIpv6(view, 1024, TCP6.length);
    sink += ipv6.checkIpv6(view, 2048, TCP6_OPTIONS.length);
  },
  "lookup() of an IPv6 packet's addresses": () => {
    if (table6.lookup(view, 1024 + ipv6.SOURCE_ADDRESS_OFFSET) === null) sink += 1;
    if (table6.lookup(view, 2048 + ipv6.SOURCE_ADDRESS_OFFSET) === null) sink += 1;
  },
  "the checksum of 1,420 bytes at an odd offset": () => {
    sink = sink + finish(sum(view, 513, 1420, pseudoHeaderSum(1, 2, 6, 1420))) & 0xffff;
  },
  "the incremental update of a checksum": () => {
    sink = update16(update32(sink & 0xffff, 0x0a000001, 0x0a000002), 1, 2);
  },
  "lookup() of a packet's addresses": () => {
    if (table.lookup(ipv4.sourceAddress(view, 64)) === null) sink += 1;
    if (table.lookup(ipv4.destinationAddress(view, 64)) === null) sink += 1;
  },
  "reading fields": () => {
    sink = sink + tcp.headerSize(view, 84) + ipv4.totalLength(view, 64) & 0xffff;
    sink = sink + transportSize(sink, 1420) & 0xffff;
  },
  "allow() of the rate limiter": () => {
    clock[0] += 1;
    sink += limiter.allow(0x0a000001, clock[0]) ? 1 : 0;
  },
};

for (const [name, call] of Object.entries(paths)) {
  Deno.test(`${name} allocates nothing`, () => {
    const grown = heapGrowth(CALLS, call);
    assert(grown < TOLERANCE, `${grown} bytes in ${CALLS} calls`);
  });
}

Deno.test("a call that allocates is found out", () => {
  const kept: unknown[] = [{}];
  const grown = heapGrowth(CALLS, () => {
    kept[0] = [kept[0] === undefined];
  });
  assert(grown >= TOLERANCE && grown < Infinity, `${grown} bytes in ${CALLS} calls`);
});
