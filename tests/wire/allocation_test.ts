/** A test that what runs for each packet allocates nothing, once the engine has optimised it. */
import { AllowedIps } from "../../lib/tunnel/allowed_ips.ts";
import { HandshakeRateLimiter } from "../../lib/tunnel/rate_limiter.ts";
import { finish, pseudoHeaderSum, sum, update16, update32 } from "../../lib/wire/checksum.ts";
import { DropCounters, type DropReason } from "../../lib/wire/drop_reason.ts";
import * as ipv4 from "../../lib/wire/ipv4.ts";
import { createMemory } from "../../lib/wire/memory.ts";
import { transportSize } from "../../lib/wire/messages.ts";
import * as tcp from "../../lib/wire/tcp.ts";
import { assert } from "../support/assert.ts";
import { TCP_DATA, UDP_LOOSE_SOURCE_ROUTE } from "./real_packets.ts";

/** Calls for which a single 16-byte object each would show as 3.2 MB. */
const CALLS = 200_000;

/** The bytes that the heap grew by over `CALLS` calls: the least of some runs, for the runtime has work of its own. */
function growth(call: () => void): number {
  let least = Infinity;
  for (let run = 0; run < 5; run++) {
    const before = Deno.memoryUsage().heapUsed;
    for (let round = 0; round < CALLS; round++) call();
    const grown = Deno.memoryUsage().heapUsed - before;
    // A collection in between makes the difference negative, and the run worthless.
    if (grown >= 0) least = Math.min(least, grown);
  }
  return least;
}

const memory = createMemory(4096);
memory.bytes.set(TCP_DATA, 64);
memory.bytes.set(UDP_LOOSE_SOURCE_ROUTE, 256);
const view = memory.view;
const table = new AllowedIps<object>();
table.insert(0x0a424d00, 24, {});
table.insert(0x0a424d02, 32, {});
const limiter = new HandshakeRateLimiter(1);
const drops = new DropCounters();
let sink = 0;
let now = 0.5;

const paths: Record<string, () => void> = {
  "checkIpv4() of a good packet": () => {
    sink += ipv4.checkIpv4(memory, 64, TCP_DATA.length);
  },
  "checkIpv4() of a bad packet, counted": () => {
    const reason: DropReason = ipv4.checkIpv4(memory, 256, UDP_LOOSE_SOURCE_ROUTE.length);
    drops.add(reason);
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
    now += 0.25;
    sink += limiter.allow(0x0a000001, now) ? 1 : 0;
  },
};

for (const [name, call] of Object.entries(paths)) {
  Deno.test(`${name} allocates nothing`, () => {
    const grown = growth(call);
    assert(grown < CALLS, `${grown} bytes in ${CALLS} calls`);
  });
}

Deno.test("a call that allocates is found out", () => {
  const kept: unknown[] = [{}];
  const grown = growth(() => {
    kept[0] = [kept[0] === undefined];
  });
  assert(grown >= CALLS && grown < Infinity, `${grown} bytes in ${CALLS} calls`);
});
