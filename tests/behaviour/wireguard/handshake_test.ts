/** Tests of how two devices come to a session, and of the messages that lead to none. */
import { CookieGenerator } from "../../../lib/core/noise/cookie.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { buildUdp } from "../../support/packets/packet_builder.ts";
import {
  connectedPair,
  COOKIE_REPLY,
  deliver,
  downward,
  INITIATION,
  KEEPALIVE_SIZE,
  receivedTexts,
  RESPONSE,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  tunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const PRESHARED_KEY = new Uint8Array(32).fill(7);

Deno.test("a packet without a session waits for the handshake and goes first", () => {
  const pair = tunnelPair();
  const { simulation, client, gateway, sent } = pair;
  client.send(upward("one"), upward("two"));
  simulation.run(100);
  assertEquals(receivedTexts(gateway), ["one", "two"]);
  assertEquals(sent.map(({ type }) => type), [INITIATION, RESPONSE, TRANSPORT, TRANSPORT]);
  assertEquals(sent.map(({ bytes }) => bytes.length).slice(0, 2), [148, 92]);
});

Deno.test("the initiator confirms its session with a keepalive when it has nothing to send", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(100);
  const [keepalive, ...more] = sentBy(pair, pair.client, TRANSPORT);
  assertEquals(keepalive!.bytes.length, KEEPALIVE_SIZE);
  assertEquals(more, []);
  for (const device of [pair.client, pair.gateway]) {
    assertEquals(device.events.map(({ kind }) => kind).includes("handshake-completed"), true);
  }
  pair.gateway.send(downward("hello"));
  pair.simulation.run(100);
  assertEquals(receivedTexts(pair.client), ["hello"]);
});

Deno.test("a handshake with the same preshared key at both ends succeeds", () => {
  const peer = { presharedKey: PRESHARED_KEY };
  const pair = tunnelPair({ toGateway: peer, toClient: peer });
  pair.client.send(upward("secret"));
  pair.simulation.run(100);
  assertEquals(receivedTexts(pair.gateway), ["secret"]);
});

Deno.test("a handshake in which the preshared keys differ leads to no session", () => {
  const pair = tunnelPair({ toGateway: { presharedKey: PRESHARED_KEY } });
  pair.client.send(upward("secret"));
  pair.simulation.run(1000);
  assertEquals(pair.client.dropped(DropReason.badHandshake), 1);
  assertEquals(pair.toGateway.current, null);
  assertEquals(pair.toClient.current, null);
  assertEquals(receivedTexts(pair.gateway), []);
});

Deno.test("an initiation of an unknown key gets no answer", () => {
  const pair = tunnelPair();
  pair.gateway.device.removePeer(pair.toClient);
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(1000);
  assertEquals(pair.gateway.dropped(DropReason.unknownPeer), 1);
  assertEquals(sentBy(pair, pair.gateway), []);
});

Deno.test("an initiation made for another public key gets no answer", () => {
  const pair = tunnelPair();
  const stranger = pair.simulation.addDevice({
    name: "stranger",
    address: "203.0.113.5",
    tunnelAddress: "10.9.9.9/24",
  });
  pair.client.initiate(pair.toGateway);
  deliver(stranger, pair.sent[0]!.bytes);
  assertEquals(stranger.dropped(DropReason.badMac1), 1);
  assertEquals(sentBy(pair, stranger), []);
});

Deno.test("an initiation that is played again is refused, at once and later", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  const { bytes } = pair.sent[0]!;
  pair.simulation.run(1000);
  for (const wait of [0, 10_000, 1_000_000]) {
    pair.simulation.run(wait);
    const before = sentBy(pair, pair.gateway, RESPONSE).length;
    const stale = pair.gateway.dropped(DropReason.staleTimestamp);
    deliver(pair.gateway, bytes);
    assertEquals(pair.gateway.dropped(DropReason.staleTimestamp), stale + 1);
    assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, before);
  }
});

Deno.test("a clock that is set back in a running client costs no handshake", () => {
  const pair = connectedPair();
  pair.simulation.run(10_000);
  pair.client.wallClockOffset = -3_600_000;
  for (let round = 1; round <= 3; round++) {
    pair.client.initiate(pair.toGateway);
    pair.simulation.run(10_000);
    assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, round);
  }
  assertEquals(pair.gateway.dropReport(), "");
});

Deno.test("an initiation with an older timestamp is refused: the client was started again with its clock set back", () => {
  const pair = connectedPair();
  pair.simulation.run(10_000);
  pair.client.wallClockOffset = -60_000;
  pair.toGateway.initiationUnixTime = -Infinity;
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(100);
  assertEquals(pair.gateway.dropped(DropReason.staleTimestamp), 1);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE), []);
});

Deno.test("initiations of one peer less than 20 ms apart are refused", () => {
  const pair = tunnelPair();
  /** Makes an initiation with a timestamp newer than all before; it is not sent. */
  const initiation = () => {
    pair.client.wallClockOffset += 1000;
    pair.toGateway.initiationSentAt = -Infinity;
    pair.client.initiate(pair.toGateway);
    return pair.sent.at(-1)!.bytes;
  };
  pair.simulation.link.isDown = true;
  deliver(pair.gateway, initiation());
  pair.simulation.run(19);
  deliver(pair.gateway, initiation());
  assertEquals(pair.gateway.dropped(DropReason.handshakeTooSoon), 1);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 1);
  pair.simulation.run(1);
  deliver(pair.gateway, initiation());
  assertEquals(pair.gateway.dropped(DropReason.handshakeTooSoon), 1);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 2);
});

Deno.test("a device that admits nobody new renews the sessions that there are, and begins no other", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(1_000);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 1);
  pair.gateway.device.admitsNew = false;
  pair.simulation.run(10_000);
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(1_000);
  assertEquals(sentBy(pair, pair.gateway, RESPONSE).length, 2);

  const other = tunnelPair();
  other.gateway.device.admitsNew = false;
  other.client.initiate(other.toGateway);
  other.simulation.run(1_000);
  assertEquals(sentBy(other, other.gateway, RESPONSE), []);
  assertEquals(other.gateway.dropped(DropReason.notAdmitted), 1);
  other.gateway.device.admitsNew = true;
  other.simulation.run(10_000);
  assertEquals(sentBy(other, other.gateway, RESPONSE).length, 1);
});

Deno.test("a forged response leaves the handshake as it was: the true one still completes it", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(15);
  const response = sentBy(pair, pair.gateway, RESPONSE)[0]!.bytes;
  const macs = new CookieGenerator(pair.client.identity.public);
  for (let at = 12; at < 60; at++) {
    const forged = response.slice();
    forged[at]! ^= 1;
    // The first MAC proves nothing: its key is public.
    macs.addMacs(forged, 0);
    deliver(pair.client, forged);
  }
  assertEquals(pair.client.dropped(DropReason.badHandshake), 48);
  assertEquals(pair.toGateway.current, null);
  pair.simulation.run(100);
  assert(pair.toGateway.current !== null);
});

Deno.test("a response that is played again is refused", () => {
  const pair = connectedPair();
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(10_000);
  pair.client.initiate(pair.toGateway);
  pair.simulation.run(100);
  const { current } = pair.toGateway;
  deliver(pair.client, sentBy(pair, pair.gateway, RESPONSE).at(-1)!.bytes);
  assertEquals(pair.client.dropped(DropReason.unknownIndex), 1);
  // The index is a session's now, and stays one while another handshake is under way.
  pair.simulation.run(10_000);
  pair.client.initiate(pair.toGateway);
  deliver(pair.client, sentBy(pair, pair.gateway, RESPONSE).at(-1)!.bytes);
  assertEquals(pair.client.dropped(DropReason.unknownIndex), 2);
  assertEquals(pair.toGateway.current === current, true);
});

Deno.test("a response to an initiation that was sent again meanwhile is refused", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  pair.simulation.link.isDown = true;
  pair.simulation.run(15);
  pair.simulation.run(6000);
  assertEquals(sentBy(pair, pair.client, INITIATION).length, 2);
  deliver(pair.client, sentBy(pair, pair.gateway, RESPONSE)[0]!.bytes);
  assertEquals(pair.client.dropped(DropReason.unknownIndex), 1);
  assertEquals(pair.toGateway.current, null);
  // Nor does the old index name anything else any more.
  const cookieReply = new Uint8Array(64);
  cookieReply[0] = COOKIE_REPLY;
  cookieReply.set(pair.sent[0]!.bytes.subarray(4, 8), 4);
  deliver(pair.client, cookieReply);
  assertEquals(pair.client.dropped(DropReason.unknownIndex), 2);
});

Deno.test("a lost response is made good by the next initiation", () => {
  const pair = tunnelPair();
  pair.client.send(upward("patience"));
  pair.simulation.run(5);
  pair.simulation.link.isDown = true;
  pair.simulation.run(20);
  pair.simulation.link.isDown = false;
  assertEquals(pair.toGateway.current, null);
  pair.simulation.run(6000);
  assertEquals(receivedTexts(pair.gateway), ["patience"]);
});

Deno.test("a peer whose public key is a point of low order is sent nothing and sends nothing", () => {
  const pair = tunnelPair();
  pair.client.addPeer({ identity: { public: new Uint8Array(32) } }, [
    "10.1.1.1/32",
  ], { endpoint: { address: pair.gateway.address, port: pair.gateway.port } });
  pair.client.send(upwardTo("10.1.1.1"));
  pair.simulation.run(200_000);
  assertEquals(pair.sent, []);
  assertEquals(pair.client.dropped(DropReason.noSession), 1);
});

Deno.test("both ends may begin at once: packets pass both ways and no handshake follows", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const pair = bothKnowEachOther(seed);
    pair.client.send(upward("up"));
    pair.gateway.send(downward("down"));
    pair.simulation.run(100);
    assertEquals(receivedTexts(pair.gateway), ["up"], `seed ${seed}`);
    assertEquals(receivedTexts(pair.client), ["down"], `seed ${seed}`);
    pair.sent.length = 0;
    for (let second = 0; second < 100; second++) {
      pair.client.send(upward(`up ${second}`));
      pair.gateway.send(downward(`down ${second}`));
      pair.simulation.run(1000);
    }
    assertEquals(receivedTexts(pair.gateway).length, 101, `seed ${seed}`);
    assertEquals(receivedTexts(pair.client).length, 101, `seed ${seed}`);
    assertEquals(pair.sent.filter(({ type }) => type !== TRANSPORT), [], `seed ${seed}`);
  }
});

Deno.test("both ends may begin while either response is lost", () => {
  for (const loser of ["client", "gateway"] as const) {
    const pair = bothKnowEachOther(3);
    const record = pair.simulation.onDatagram!;
    let lost = 0;
    pair.simulation.onDatagram = (datagram, sender) => {
      record(datagram, sender);
      return !(sender.name === loser && datagram.bytes[0] === RESPONSE && lost++ === 0);
    };
    pair.client.send(upward("up"));
    pair.gateway.send(downward("down"));
    pair.simulation.run(12_000);
    assertEquals(lost, 1);
    assertEquals(receivedTexts(pair.gateway), ["up"], loser);
    assertEquals(receivedTexts(pair.client), ["down"], loser);
  }
});

/** A pair in which the gateway knows the client's endpoint too. */
function bothKnowEachOther(seed: number): TunnelPair {
  const pair = tunnelPair({ seed });
  pair.toClient.endpoint.set(pair.client);
  return pair;
}

function upwardTo(destination: string): Uint8Array {
  return buildUdp({ destination });
}
