/** Tests of a peer's quota in the data plane: where it ends, what goes on behind that, and what is reported of it. */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  connectedPair,
  downward,
  receivedTexts,
  type TunnelPair,
  upward,
} from "../../../support/packets/tunnel_pair.ts";

const TEXT = "x".repeat(972);
/** Bytes of a message with that text, as it is counted. */
const MESSAGE = 1_040;
const SECOND = 1_000;

const usedBy = ({ toClient }: TunnelPair) => toClient.receivedBytes + toClient.sentBytes;

/** A gateway, whose client may use so many bytes more. */
function withQuota(
  bytes: number,
  { rate = null, step = bytes, workers }: {
    readonly rate?: number | null;
    readonly step?: number;
    readonly workers?: number;
  } = {},
): TunnelPair {
  const pair = connectedPair(workers === undefined ? {} : { gatewayWorkers: workers });
  pair.toClient.setQuota({ end: usedBy(pair) + bytes, step, rate });
  pair.gateway.events.length = 0;
  return pair;
}

function kinds({ gateway }: TunnelPair, kind: string): number {
  return gateway.events.filter((event) => event.kind === kind).length;
}

Deno.test("packets of both directions pass until the quota is used up, then none does, and it is told once", () => {
  const pair = withQuota(20 * MESSAGE);
  const { client, gateway, simulation } = pair;
  for (let i = 0; i < 40; i++) {
    client.send(upward(TEXT));
    gateway.send(downward(TEXT));
    simulation.run(100);
  }
  const passed = receivedTexts(client).length + receivedTexts(gateway).length;
  assert(passed >= 19 && passed <= 20, `${passed}`);
  assertEquals(gateway.dropped(DropReason.quotaReached), 80 - passed);
  assertEquals([kinds(pair, "quota-reached"), pair.toClient.isSpent], [1, true]);
});

Deno.test("behind its quota a peer keeps its session: keepalives and handshakes pass", () => {
  const { client, gateway, simulation, toClient, toGateway } = withQuota(MESSAGE);
  for (let i = 0; i < 3; i++) gateway.send(downward(TEXT));
  const { lastHandshakeUnixTime } = toClient;
  for (let i = 0; i < 30; i++) {
    client.send(upward("."));
    simulation.run(10 * SECOND);
  }
  assert(toClient.lastHandshakeUnixTime > lastHandshakeUnixTime);
  assert(simulation.now - toGateway.lastReceivedAt < 60 * SECOND);
  assertEquals(receivedTexts(gateway), []);
});

Deno.test("it is reported how far a peer has come, at each step and at the end", () => {
  const pair = withQuota(20 * MESSAGE, { step: 5 * MESSAGE });
  for (let i = 0; i < 18; i++) {
    pair.gateway.send(downward(TEXT));
    pair.simulation.run(100);
  }
  assertEquals(kinds(pair, "usage"), 3);
  for (let i = 0; i < 3; i++) {
    pair.gateway.send(downward(TEXT));
    pair.simulation.run(100);
  }
  assertEquals([kinds(pair, "usage"), kinds(pair, "quota-reached")], [4, 1]);
});

Deno.test("with a rate for it, packets go on at that rate behind the quota, or at the peer's own if that is less", () => {
  for (const [own, expected] of [[null, 80_000], [8_000, 8_000], [1e6, 80_000]] as const) {
    const pair = withQuota(MESSAGE, { rate: 80_000 });
    const { gateway, toClient, simulation } = pair;
    toClient.limitRate(own);
    for (let i = 0; i < 3; i++) gateway.send(downward(TEXT));
    simulation.run(100);
    assertEquals([toClient.fromLimit?.rate, toClient.toLimit?.rate], [expected, expected]);
    assertEquals([toClient.isSpent, kinds(pair, "quota-reached")], [false, 1]);
    assertEquals(gateway.dropped(DropReason.quotaReached), 0);
  }
});

Deno.test("a greater quota, another period or none lets packets pass again, at the rate of before", () => {
  for (const more of [10 * MESSAGE, null]) {
    for (const rate of [null, 8_000]) {
      const pair = withQuota(MESSAGE, { rate });
      const { client, gateway, toClient, simulation } = pair;
      toClient.limitRate(8e6);
      gateway.send(downward(TEXT));
      simulation.run(100);
      assertEquals(
        [toClient.isSpent, toClient.toLimit?.rate],
        rate === null ? [true, 8e6] : [false, rate],
      );
      toClient.setQuota(more === null ? null : { end: usedBy(pair) + more, step: more, rate });
      gateway.send(downward(TEXT));
      simulation.run(100);
      assertEquals([receivedTexts(client).length, toClient.toLimit?.rate], [2, 8e6]);
    }
  }
});

Deno.test("a quota that was used up before it is set holds from the first packet on", () => {
  const { client, gateway, simulation } = withQuota(-1);
  client.send(upward(TEXT));
  gateway.send(downward(TEXT));
  simulation.run(100);
  assertEquals([receivedTexts(client), receivedTexts(gateway)], [[], []]);
});

Deno.test("several packet workers obey it within a tenth of a second, and go on when there is more", () => {
  const pair = withQuota(20 * MESSAGE, { workers: 3 });
  const { client, gateway, simulation, toClient } = pair;
  const send = (count: number) => {
    for (let i = 0; i < count; i++) {
      client.send(upward(TEXT));
      gateway.send(downward(TEXT));
      simulation.run(50);
    }
    simulation.run(SECOND);
    return receivedTexts(client).length + receivedTexts(gateway).length;
  };
  const passed = send(40);
  // What passes in 100 ms, and what is under way.
  assert(passed >= 20 && passed <= 28, `${passed}`);
  assertEquals(kinds(pair, "quota-reached"), 1);
  toClient.setQuota(null);
  gateway.poll();
  assertEquals(send(5) - passed, 10);
});

Deno.test("what waits for its rate when the quota ends does not go on", () => {
  const { client, gateway, simulation, toClient } = withQuota(2 * MESSAGE);
  toClient.limitRate(8 * MESSAGE);
  for (let i = 0; i < 10; i++) gateway.send(downward(TEXT));
  simulation.run(20 * SECOND);
  assertEquals(receivedTexts(client).length, 2);
});
