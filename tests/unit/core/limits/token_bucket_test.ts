/** Tests of the bound on a peer's rate: how much passes, how soon, and who is told apart. */
import { TokenBucket } from "../../../../lib/core/limits/token_bucket.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { buildTcp } from "../../../support/packets/packet_builder.ts";
import { Random } from "../../../support/random.ts";
import {
  CLIENT_INNER,
  connectedPair,
  downward,
  GATEWAY_INNER,
  receivedTexts,
  tunnelPair,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

/** Bytes that pass at once, whatever the rate. */
const MIN_BURST = 65_536;
/** More bytes than any test here lets through. */
const ENDLESS = 1e10;

/** Bytes that pass from `start` on in `ms`, where packets of `length` bytes never cease. */
function passed(bucket: TokenBucket, { start, ms, length = 1_400 }: {
  start: number;
  ms: number;
  length?: number;
}): number {
  let bytes = 0;
  for (let now = start; now < start + ms; now += 0.25) {
    while (bucket.take(length, now)) {
      bytes += length;
      assert(bytes < ENDLESS, "there is no limit");
    }
  }
  return bytes;
}

Deno.test("take() lets the rate through, exactly, over any time, and a burst before it", () => {
  for (const rate of [10_000, 1_000_000, 20_000_000, 1_000_000_000]) {
    const bucket = new TokenBucket(rate);
    const burst = Math.max(MIN_BURST, rate / 8 / 2);
    assert(Math.abs(passed(bucket, { start: 0, ms: 1 }) - burst) < 1_400 + rate / 8 / 1000);
    let start = 1;
    for (const ms of [1_000, 5_000]) {
      const bytes = passed(bucket, { start, ms });
      assert(Math.abs(bytes - rate / 8 * ms / 1000) < 3_000 + rate / 8 / 500, `${rate}: ${bytes}`);
      start += ms;
    }
  }
});

Deno.test("take() saves up no more than a burst, however long nothing came", () => {
  const bucket = new TokenBucket(1_000_000);
  passed(bucket, { start: 0, ms: 10 });
  assert(passed(bucket, { start: 1e9, ms: 0.25 }) <= MIN_BURST);
});

Deno.test("take() gets nothing from a clock that goes back, and loses nothing", () => {
  const bucket = new TokenBucket(8_000);
  assert(bucket.take(MIN_BURST - 1, 1_000));
  assert(bucket.take(1, -1e9));
  assertEquals([bucket.take(1, 0), bucket.take(1, 1_000), bucket.take(1, 1_001)], [
    false,
    false,
    true,
  ]);
});

Deno.test("take() judges as a bucket does that is filled millisecond by millisecond", () => {
  const random = new Random(2);
  for (let round = 0; round < 50; round++) {
    // In whole bytes a millisecond, so that neither of the two has anything to round.
    const bytesPerMs = random.between(1, 5_000);
    const bucket = new TokenBucket(bytesPerMs * 8_000);
    const burst = Math.max(MIN_BURST, bytesPerMs * 500);
    let [tokens, now] = [burst, 0];
    for (let i = 0; i < 2_000; i++) {
      const pause = random.chance(0.01) ? random.below(3_000) : random.below(3);
      for (let ms = 0; ms < pause; ms++) tokens = Math.min(burst, tokens + bytesPerMs);
      now += pause;
      const length = random.chance(0.1) ? 65_535 : random.between(20, 1_500);
      const expected = length <= tokens;
      if (expected) tokens -= length;
      assertEquals(bucket.take(length, now), expected, `round ${round}, packet ${i}`);
    }
  }
});

Deno.test("take() keeps the bound: in no interval more than burst + rate x time", () => {
  const random = new Random(1);
  for (let round = 0; round < 50; round++) {
    const rate = 1_000 + random.below(50_000_000);
    const bucket = new TokenBucket(rate);
    const burst = Math.max(MIN_BURST, rate / 16);
    const taken: { now: number; length: number }[] = [];
    let now = 0;
    for (let i = 0; i < 200; i++) {
      now += random.float() * 20;
      const length = 20 + random.below(1_480);
      if (bucket.take(length, now)) taken.push({ now, length });
    }
    for (let from = 0; from < taken.length; from += 7) {
      let bytes = 0;
      for (const { now, length } of taken.slice(from)) {
        bytes += length;
        assert(bytes <= burst + rate / 8000 * (now - taken[from]!.now) + 0.001);
      }
    }
  }
});

Deno.test("a peer's limit holds for what comes from it and for what goes to it; keepalives and handshakes pass", () => {
  const text = "x".repeat(1_000);
  const pair = connectedPair({ toClient: { rateLimit: 1_000 } });
  const { client, gateway, simulation, toClient } = pair;
  for (let i = 0; i < 100; i++) {
    client.send(upward(text));
    gateway.send(downward(text));
    simulation.run(1);
  }
  simulation.run(100);
  const expected = Math.floor(MIN_BURST / 1_028);
  assertEquals([receivedTexts(gateway).length, receivedTexts(client).length], [expected, expected]);
  const dropped = 2 * (100 - expected);
  assertEquals([gateway.dropped(DropReason.rateLimited), toClient.rateLimited], [dropped, dropped]);
  // Two minutes later the session was renewed all the same.
  const { lastHandshakeUnixTime } = toClient;
  for (let i = 0; i < 20; i++) {
    client.send(upward("."));
    simulation.run(10_000);
  }
  assert(toClient.lastHandshakeUnixTime > lastHandshakeUnixTime);
  assert(receivedTexts(gateway).length > expected);
});

Deno.test("packets that wait for a session are paid for once", () => {
  const text = "x".repeat(1_000);
  const pair = tunnelPair({ toGateway: { rateLimit: 1_000 } });
  for (let i = 0; i < 60; i++) pair.client.send(upward(text));
  pair.simulation.run(1_000);
  assertEquals(receivedTexts(pair.gateway).length, 60);
  assertEquals(pair.client.drops.total, 0);
});

Deno.test("a super-packet passes as far as the limit lets its packets", () => {
  const { client, gateway, simulation } = connectedPair({ toGateway: { rateLimit: 1_000 } });
  // struct virtio_net_hdr: checksum partial, TCPv4, headers of 40 bytes, segments of 1,000, checksum 16 bytes from 20.
  const header = Uint8Array.of(1, 1, 40, 0, 0xe8, 3, 20, 0, 16, 0);
  const packet = buildTcp({
    source: CLIENT_INNER,
    destination: GATEWAY_INNER,
    payload: new Uint8Array(40_000),
    flags: 0x10,
  });
  for (let i = 0; i < 2; i++) {
    client.tun.send(packet, header);
    client.readTun();
  }
  simulation.run(100);
  const expected = Math.floor(MIN_BURST / 1_040);
  assertEquals(gateway.tun.written.length, expected);
  assertEquals(client.dropped(DropReason.rateLimited), 80 - expected);
});

Deno.test("one peer's limit is no other's", () => {
  const limited = connectedPair({ toClient: { rateLimit: 1_000 } });
  const other = limited.simulation.addDevice({
    name: "other",
    address: "192.0.2.3",
    tunnelAddress: "10.66.77.3/24",
  });
  const { address, port } = limited.gateway;
  limited.gateway.addPeer(other, ["10.66.77.3/32"]);
  other.initiate(
    other.addPeer(limited.gateway, ["10.66.77.0/24"], { endpoint: { address, port } }),
  );
  limited.simulation.run(100);
  const { written } = limited.gateway.tun;
  for (let i = 0; i < 100; i++) {
    limited.client.send(buildTcp({
      source: CLIENT_INNER,
      destination: GATEWAY_INNER,
      payload: new Uint8Array(1_000),
    }));
    other.send(buildTcp({
      source: "10.66.77.3",
      destination: GATEWAY_INNER,
      payload: new Uint8Array(1_000),
    }));
    limited.simulation.run(1);
  }
  limited.simulation.run(100);
  const ofOther = written.filter((packet) => packet[15] === 3).length;
  assertEquals([ofOther, written.length - ofOther], [100, Math.floor(MIN_BURST / 1_040)]);
});

Deno.test("a limit can be set, changed and lifted while the tunnel runs", () => {
  const { gateway, toClient, simulation } = connectedPair();
  const settings = { publicKey: toClient.publicKey, allowedIps: [] };
  for (const rateLimit of [1_000_000, 2_000, null]) {
    gateway.device.updatePeer(toClient, { ...settings, rateLimit }, simulation.now);
    assertEquals([toClient.fromLimit?.rate ?? null, toClient.toLimit?.rate ?? null], [
      rateLimit,
      rateLimit,
    ]);
  }
});
