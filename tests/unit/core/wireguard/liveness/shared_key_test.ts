/** Tests of the detection of a key that two hosts use at once, and of its silence about hosts that only move. */
import type { WatchOptions } from "../../../../../lib/core/wireguard/liveness/liveness.ts";
import { SharedKey } from "../../../../../lib/core/wireguard/liveness/shared_key.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { ipv4, type SimulatedDevice } from "../../../../support/packets/simulated_device.ts";
import {
  connectedPair,
  GATEWAY_INNER,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  upward,
} from "../../../../support/packets/tunnel_pair.ts";

const MINUTE = 60_000;

/** The client's file was copied: another host has its key, and sends as well. */
function copyOf(
  { simulation, client, gateway }: TunnelPair,
  watch?: WatchOptions,
): SimulatedDevice {
  const copy = simulation.addDevice({
    name: "copy",
    address: "203.0.113.9",
    port: 41_000,
    tunnelAddress: "10.66.77.2/24",
    identity: client.identity,
    ...(watch && { watch }),
  });
  const toGateway = copy.addPeer(gateway, [`${GATEWAY_INNER}/24`], {
    endpoint: { address: gateway.address, port: gateway.port },
  });
  // Its clock is not the other's: each initiation must be later than the last one.
  copy.wallClockOffset = 1;
  copy.initiate(toGateway);
  return copy;
}

/** Sends a packet each `interval` for `length` ms. */
function chatter(
  { simulation }: TunnelPair,
  device: SimulatedDevice,
  { interval, length }: { readonly interval: number; readonly length: number },
): void {
  const end = simulation.now + length;
  const next = () => {
    device.send(upward("still here"));
    if (simulation.now + interval < end) simulation.after(interval, next);
  };
  simulation.after(interval, next);
}

function reports({ gateway }: TunnelPair): number {
  return gateway.events.filter(({ kind }) => kind === "key-shared").length;
}

Deno.test("two hosts that use one key are reported once, with both places, and no more when one has ended", () => {
  const pair = connectedPair();
  const copy = copyOf(pair);
  chatter(pair, pair.client, { interval: 1_000, length: 10 * MINUTE });
  chatter(pair, copy, { interval: 1_300, length: 3 * MINUTE });
  pair.simulation.run(2 * MINUTE);
  assertEquals(reports(pair), 1);
  const { endpoint, sharedKey } = pair.toClient;
  const other = sharedKey.otherPlace(pair.simulation.now);
  assert(other !== null);
  const hosts = [pair.client, copy].map(({ address, port }) => `${address}:${port}`).sort();
  // The peer may be at either of them by now; the other place is that of the newer session.
  assert(hosts.includes(`${other.address}:${other.port}`));
  assert(hosts.includes(`${endpoint.address}:${endpoint.port}`));
  pair.simulation.run(1 * MINUTE);
  assertEquals(reports(pair), 1);
  pair.simulation.run(6 * MINUTE);
  assertEquals(sharedKey.otherPlace(pair.simulation.now), null);
});

Deno.test("two idle hosts of ours with one key are reported, with both places", () => {
  const times = { peerTimeout: 6_000, releaseAfter: 180_000 };
  const clientWatch: WatchOptions = { role: "client", ...times };
  const pair = connectedPair({ clientWatch, gatewayWatch: { role: "server", ...times } });
  const copy = copyOf(pair, clientWatch);
  pair.simulation.run(MINUTE);
  assertEquals(reports(pair), 1);
  const other = pair.toClient.sharedKey.otherPlace(pair.simulation.now);
  assert(other !== null);
  const hosts = [pair.client, copy].map(({ address, port }) => `${address}:${port}`);
  assert(hosts.includes(`${other.address}:${other.port}`));
});

Deno.test("a program that is started again, and again, is one host; so is one that takes over from another for long", () => {
  const shared = new SharedKey();
  const place = { address: 1, port: 2 };
  for (let start = 1; start < 100; start++) {
    for (let hello = 0; hello < 3; hello++) {
      assertEquals(shared.greeted(start, place, start * 1_000 + hello), false);
    }
    // Who does not say is nobody else.
    assertEquals(shared.greeted(0, place, start * 1_000 + 10), false);
  }
  assertEquals(shared.greeted(98, place, 99_000 + 6 * MINUTE), false);
  assertEquals(shared.otherPlace(99_000 + 6 * MINUTE), null);
});

Deno.test("a start of the program that comes back after another one shows two hosts, once in a while", () => {
  const shared = new SharedKey();
  const [one, two] = [{ address: 1, port: 11 }, { address: 2, port: 22 }];
  assertEquals(shared.greeted(7, one, 0), false);
  assertEquals(shared.greeted(8, two, 1_000), false);
  assertEquals(shared.greeted(7, one, 2_000), true);
  assertEquals(shared.otherPlace(2_000), two);
  assertEquals(shared.greeted(8, two, 3_000), false);
  assertEquals(shared.otherPlace(3_000), one);
  assertEquals(shared.otherPlace(3_000 + 6 * MINUTE), null);
});

Deno.test("a phone that goes to and fro between two networks, with handshakes, is one host", () => {
  const pair = connectedPair();
  const { simulation, client, toGateway } = pair;
  chatter(pair, client, { interval: 500, length: 20 * MINUTE });
  const places = [client.address, ipv4("203.0.113.7")] as const;
  for (let move = 1; move * 7_000 < 20 * MINUTE; move++) {
    simulation.after(move * 7_000, () => {
      client.address = places[move % 2]!;
      client.initiate(toGateway);
    });
  }
  simulation.run(20 * MINUTE);
  assert(pair.gateway.events.filter(({ kind }) => kind === "endpoint-changed").length > 100);
  assertEquals(reports(pair), 0);
});

Deno.test("packets that an old network holds back for seconds are no second host", () => {
  const pair = connectedPair();
  const { simulation, client, gateway, toGateway } = pair;
  const places = [client.address, ipv4("203.0.113.7")] as const;
  for (let move = 1; move <= 60; move++) {
    const before = places[(move + 1) % 2]!;
    client.send(upward("the last one here"));
    const held = sentBy(pair, client, TRANSPORT).at(-1)!;
    pair.sent.length = 0;
    // It arrives as well, so what comes late is the next one, of which a copy is kept back.
    simulation.onDatagram = (datagram, sender) => {
      if (sender !== client || datagram.bytes[0] !== TRANSPORT) return true;
      const late = { ...held, ...datagram };
      simulation.after(
        2_500,
        () => gateway.receive(late.bytes, { address: before, port: client.port }),
      );
      simulation.onDatagram = (other, from) => {
        pair.sent.push({ ...other, type: other.bytes[0]!, at: simulation.now, sender: from });
      };
      return false;
    };
    client.send(upward("held back"));
    client.address = places[move % 2]!;
    client.initiate(toGateway);
    simulation.run(8_000);
  }
  assertEquals(reports(pair), 0);
});

Deno.test("a NAT that gives another port all the time, without a new session, is no second host", () => {
  const pair = connectedPair();
  chatter(pair, pair.client, { interval: 200, length: 10 * MINUTE });
  for (let at = 1_000; at < 10 * MINUTE; at += 1_000) {
    pair.simulation.after(at, () => pair.client.port = 2_000 + at % 7);
  }
  pair.simulation.run(10 * MINUTE);
  assertEquals(reports(pair), 0);
});
