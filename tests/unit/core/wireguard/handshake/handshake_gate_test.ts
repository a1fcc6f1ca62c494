/** Tests of the budgets of handshake messages: what floods cost, and that peers' handshakes go on beside them. */
import { createBuiltinAead } from "../../../../../lib/core/noise/aead_builtin.ts";
import { CookieGenerator } from "../../../../../lib/core/noise/cookie.ts";
import { keyPair } from "../../../../../lib/core/noise/x25519.ts";
import { HandshakeGate } from "../../../../../lib/core/wireguard/handshake/handshake_gate.ts";
import { SendQueue } from "../../../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../../../lib/core/transport/transport.ts";
import { DropReason } from "../../../../../lib/core/wire/drop_reason.ts";
import type { HostAddress } from "../../../../../lib/core/wire/host_address.ts";
import { createMemory } from "../../../../../lib/core/wire/memory.ts";
import {
  COOKIE_REPLY_SIZE,
  INITIATION_SIZE,
  RESPONSE_SIZE,
} from "../../../../../lib/core/wire/messages.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";
import { ipv4 } from "../../../../support/packets/simulated_device.ts";
import {
  connectedPair,
  COOKIE_REPLY,
  deliver,
  INITIATION,
  RESPONSE,
  sentBy,
  TRANSPORT,
  tunnelPair,
} from "../../../../support/packets/tunnel_pair.ts";

const FLOODER = () => ipv4("203.0.113.66");
const SLOTS = 64;
const SEND_OFFSET = 1024;
const SLOT_SIZE = SendQueue.slotSize(COOKIE_REPLY_SIZE);

/** The address of a message, by its number. */
type Place = (sent: number) => HostAddress;

/** A gate that messages are put before, one by one. */
class Site {
  readonly memory = createMemory(SEND_OFFSET + SLOTS * SLOT_SIZE);
  readonly sendQueue = new SendQueue({ offset: SEND_OFFSET, slots: SLOTS, slotSize: SLOT_SIZE });
  readonly gate: HandshakeGate;
  readonly random = new Random(1);
  readonly publicKey: Uint8Array;
  now = 0;

  constructor() {
    const identity = keyPair(this.random.bytes(32));
    this.publicKey = identity.public;
    this.gate = new HandshakeGate({
      memory: this.memory,
      sendQueue: this.sendQueue,
      identity,
      aead: createBuiltinAead(this.memory),
      random: (length) => this.random.bytes(length),
    });
  }

  /** A stranger's message: noise with a right first MAC, and a second one by this generator's cookie. */
  message(macs = new CookieGenerator(this.publicKey), size = INITIATION_SIZE): Uint8Array {
    const message = this.random.bytes(size);
    macs.addMacs(message, this.now);
    return message;
  }

  /** What becomes of an initiation, and the cookie reply to it if there was one. */
  put(message: Uint8Array, address: HostAddress, port = 666): DropReason {
    this.memory.bytes.set(message);
    const from = this.sendQueue.paths.internEnd({ address, port }, Transport.udp);
    const offset = { offset: 0, length: INITIATION_SIZE, senderIndex: 1 };
    return this.gate.admitInitiation(offset, from, this.now);
  }

  /** Takes the reply that was sent last. */
  takeReply(): Uint8Array {
    const { offsets, tail } = this.sendQueue;
    assert(tail > 0, "no cookie was sent");
    const reply = this.memory.bytes.slice(offsets[tail - 1]!, offsets[tail - 1]! + 64);
    this.sendQueue.sentUpTo(tail);
    return reply;
  }

  /**
   * Sends `count` initiations with a right first MAC, by turns of a millisecond, from one address or from ever new
   * ones.
   */
  flood(
    { count, perMs, from }: { count: number; perMs: number; from: Place | null },
    message = this.message(),
  ): Map<DropReason, number> {
    const outcome = new Map<DropReason, number>();
    for (let sent = 0; sent < count; sent++) {
      if (sent % perMs === 0) this.now++;
      const address = from?.(sent) ?? 0x0b000000 + sent;
      const reason = this.put(message, address);
      this.sendQueue.sentUpTo(this.sendQueue.tail);
      outcome.set(reason, (outcome.get(reason) ?? 0) + 1);
    }
    return outcome;
  }
}

Deno.test("60,000 forged initiations a second from ever new addresses cost a bounded number of MACs, cookies and Diffie-Hellmans", () => {
  const site = new Site();
  const outcome = site.flood({ count: 120_000, perMs: 60, from: null });
  const flood = outcome.get(DropReason.handshakeFlood)!;
  const cookies = outcome.get(DropReason.cookieSent)!;
  assert(cookies > 1_900 && cookies < 2_100, `${cookies} cookie replies in two seconds`);
  assertEquals(outcome.get(DropReason.none), 50);
  assertEquals(site.gate.admitted, 50);
  assertEquals(flood + cookies + 50, 120_000);
});

Deno.test("messages without a right mac1 are dropped unseen beyond a budget, and do not bring the device under load", () => {
  const site = new Site();
  const outcome = site.flood({ count: 60_000, perMs: 60, from: null }, site.random.bytes(148));
  const checked = outcome.get(DropReason.badMac1)!;
  assert(checked > 29_000 && checked < 31_000, `${checked} first MACs in a second`);
  site.now += 1000;
  assertEquals(site.put(site.message(), ipv4("192.0.2.7")), DropReason.none);
});

const ofNetwork: Place = (sent) => `2001:db8:0:66::${(sent + 1).toString(16)}`;
for (const [place, from] of [["one address", FLOODER], ["an IPv6 /64", ofNetwork]] as const) {
  Deno.test(`a flood from ${place} leaves the cookie replies of others`, () => {
    const site = new Site();
    site.flood({ count: 20_000, perMs: 20, from });
    for (let client = 0; client < 50; client++) {
      const outcome = site.flood({ count: 20, perMs: 20, from });
      assert((outcome.get(DropReason.cookieSent) ?? 0) <= 5);
      for (const other of [ipv4("192.0.2.7") + client, `2001:db8:0:${1_000 + client}::1`]) {
        assertEquals(site.put(site.message(), other), DropReason.cookieSent);
        site.takeReply();
      }
    }
  });
}

Deno.test("a cookie is good for the IPv6 address that it was sent to, and not for another of its /64", () => {
  const site = new Site();
  site.flood({ count: 1_000, perMs: 1, from: null });
  const macs = new CookieGenerator(site.publicKey);
  assertEquals(site.put(site.message(macs), "2001:db8::7"), DropReason.cookieSent);
  assert(macs.consumeReply(site.takeReply(), site.now));
  assertEquals(site.put(site.message(macs), "2001:db8::8"), DropReason.cookieSent);
  assertEquals(site.put(site.message(macs), "2001:db8::7"), DropReason.none);
});

Deno.test("who brings a cookie is worked on whatever flood comes from other addresses", () => {
  const site = new Site();
  site.flood({ count: 1_000, perMs: 1, from: null });
  const macs = new CookieGenerator(site.publicKey);
  const client = ipv4("192.0.2.7");
  const first = site.message(macs);
  assertEquals(site.put(first, client), DropReason.cookieSent);
  assert(macs.consumeReply(site.takeReply(), site.now));
  // With a wrong second MAC as well, which has to be looked at.
  const wrong = site.message();
  wrong.fill(1, 132);
  for (let second = 0; second < 5; second++) {
    site.flood({ count: 20_000, perMs: 20, from: null }, second % 2 === 0 ? wrong : undefined);
    assertEquals(site.put(site.message(macs), client), DropReason.none);
    site.gate.wasGenuine();
  }
});

Deno.test("those who bring cookies and are no peers have a bounded number of Diffie-Hellmans together", () => {
  const site = new Site();
  site.flood({ count: 1_000, perMs: 4, from: null });
  const bots = Array.from({ length: 100 }, (_, i) => {
    const macs = new CookieGenerator(site.publicKey);
    const address = ipv4("198.51.100.0") + i;
    site.now += 2;
    assertEquals(site.put(site.message(macs), address), DropReason.cookieSent);
    assert(macs.consumeReply(site.takeReply(), site.now));
    return { macs, address };
  });
  const before = site.gate.admitted;
  for (let round = 0; round < 20; round++) {
    site.now += 50;
    for (const { macs, address } of bots) site.put(site.message(macs), address);
  }
  const worked = site.gate.admitted - before;
  assert(worked <= 20 * 25, `${worked} Diffie-Hellmans in a second`);
  assert(worked >= 20 * 10, `${worked} Diffie-Hellmans in a second`);
});

Deno.test("initiations that prove to be peers' count against no budget: a storm of clients is answered, under load too", () => {
  const site = new Site();
  for (let client = 0; client < 2000; client++) {
    if (client % 64 === 0) site.now += 10;
    assertEquals(site.put(site.message(), client + 1), DropReason.none);
    site.gate.wasGenuine();
  }
  site.flood({ count: 1_000, perMs: 20, from: FLOODER });
  const storm = Array.from({ length: 50 }, (_, client) => {
    const macs = new CookieGenerator(site.publicKey);
    assertEquals(site.put(site.message(macs), client + 1000), DropReason.cookieSent);
    assert(macs.consumeReply(site.takeReply(), site.now));
    return macs;
  });
  storm.forEach((macs, client) => {
    assertEquals(site.put(site.message(macs), client + 1000), DropReason.none);
    site.gate.wasGenuine();
  });
});

Deno.test("a sender at a proven endpoint of a peer is checked and gets its cookie when the strangers' budgets are used up", () => {
  const site = new Site();
  const client = ipv4("192.0.2.7");
  site.gate.proven.add(client, 40_000);
  site.flood({ count: 120_000, perMs: 60, from: null });
  for (let i = 0; i < 2_000; i++) site.put(site.message(), 0x0c000000 + i);
  site.sendQueue.sentUpTo(site.sendQueue.tail);
  assertEquals(site.put(site.message(), client, 40_001), DropReason.handshakeFlood);
  assertEquals(site.put(site.message(), client, 40_000), DropReason.cookieSent);
});

Deno.test("a response costs a Diffie-Hellman only when it names a handshake under way and has a right mac1, and then within a budget", () => {
  const pair = tunnelPair();
  pair.client.initiate(pair.toGateway);
  const random = new Random(3);
  const macs = new CookieGenerator(pair.client.identity.public);
  const forge = (index: number) => {
    const message = random.bytes(RESPONSE_SIZE);
    message.set([RESPONSE, 0, 0, 0]);
    new DataView(message.buffer).setUint32(8, index, true);
    macs.addMacs(message, 0);
    return message;
  };
  const { localIndex } = pair.toGateway.handshake!;
  for (let i = 0; i < 1000; i++) deliver(pair.client, forge(localIndex ^ (i + 1)));
  assertEquals(pair.client.dropped(DropReason.unknownIndex), 1000);
  for (let i = 0; i < 1000; i++) deliver(pair.client, forge(localIndex));
  assertEquals(pair.client.dropped(DropReason.badHandshake), 50);
  assertEquals(pair.client.dropped(DropReason.handshakeFlood), 950);
  // The true answer, to the next initiation at the latest, finds room.
  pair.simulation.run(6_000);
  assert(pair.toGateway.current !== null);
});

Deno.test("a cookie reply that answers nothing is dropped unopened, and forged ones have a budget", () => {
  const pair = connectedPair();
  const random = new Random(4);
  const forge = (index: number) => {
    const message = random.bytes(COOKIE_REPLY_SIZE);
    message.set([COOKIE_REPLY, 0, 0, 0]);
    new DataView(message.buffer).setUint32(4, index, true);
    return message;
  };
  const { client, toGateway } = pair;
  for (let i = 0; i < 1000; i++) deliver(client, forge(i));
  assertEquals(client.dropped(DropReason.unknownIndex), 1000);
  for (let i = 0; i < 1000; i++) deliver(client, forge(toGateway.current!.localIndex));
  assertEquals(
    client.dropped(DropReason.badCookie) + client.dropped(DropReason.handshakeFlood),
    1000,
  );
  assert(client.dropped(DropReason.badCookie) <= 50, client.dropReport());
});

Deno.test("a client in session renews it beside 20,000 forged initiations a second, from its own address too", () => {
  const pair = connectedPair();
  const { simulation, gateway, client, toGateway } = pair;
  const random = new Random(5);
  const macs = new CookieGenerator(gateway.identity.public);
  const message = random.bytes(INITIATION_SIZE);
  message.set([INITIATION, 0, 0, 0]);
  macs.addMacs(message, 0);
  // Half of them seem to come from the client's address, though not from its port: that a stranger does not know.
  let sent = 0;
  const flood = () => {
    for (let i = 0; i < 20; i++) {
      const fromClient = sent++ % 2 === 0;
      gateway.receive(message, {
        address: fromClient ? ipv4("192.0.2.2") : 0x0b000000 + sent,
        port: fromClient ? 1024 + sent % 30_000 : 666,
      });
    }
  };
  const first = toGateway.current;
  for (let ms = 0; ms < 7_000; ms++) simulation.after(ms, flood);
  simulation.after(500, () => {
    toGateway.initiationSentAt = -Infinity;
    client.initiate(toGateway);
  });
  simulation.run(8_000);
  assert(toGateway.current !== first, "the session was not renewed");
  assert(sentBy(pair, gateway, RESPONSE).length > 0);
  assert(sentBy(pair, client, TRANSPORT).length > 0);
});

Deno.test("a client that floods from its own endpoint, wrong second MACs and all, leaves the other clients' handshakes", () => {
  const site = new Site();
  const hostile = ipv4("203.0.113.66");
  const client = ipv4("192.0.2.7");
  site.gate.proven.add(hostile, 666);
  site.gate.proven.add(client, 40_000);
  const wrong = site.message();
  wrong.fill(1, 132);
  const macs = new CookieGenerator(site.publicKey);
  site.flood({ count: 20_000, perMs: 20, from: () => hostile }, wrong);
  assertEquals(site.put(site.message(macs), client, 40_000), DropReason.cookieSent);
  assert(macs.consumeReply(site.takeReply(), site.now));
  for (let second = 0; second < 5; second++) {
    site.flood({ count: 20_000, perMs: 20, from: () => hostile }, wrong);
    assertEquals(site.put(site.message(macs), client, 40_000), DropReason.none);
    site.gate.wasGenuine();
  }
});

Deno.test("strangers who bring cookies, from a client's own address too, leave that client its handshakes", () => {
  const site = new Site();
  const client = ipv4("192.0.2.7");
  site.gate.proven.add(client, 40_000);
  site.flood({ count: 1_000, perMs: 4, from: null });
  const join = (address: number, port: number) => {
    const macs = new CookieGenerator(site.publicKey);
    site.now += 2;
    assertEquals(site.put(site.message(macs), address, port), DropReason.cookieSent);
    assert(macs.consumeReply(site.takeReply(), site.now));
    return { macs, address, port };
  };
  const bots = Array.from({ length: 50 }, (_, i) => join(ipv4("198.51.100.0") + i, 666));
  const neighbour = join(client, 666);
  const { macs } = join(client, 40_000);
  for (let round = 0; round < 20; round++) {
    site.now += 50;
    for (const { macs, address, port } of [...bots, neighbour]) {
      for (let i = 0; i < 3; i++) site.put(site.message(macs), address, port);
    }
    assertEquals(site.put(site.message(macs), client, 40_000), DropReason.none);
  }
});

Deno.test("1,000 clients behind one address are connected within 40 s under load, and those who are genuine cost no other", () => {
  const site = new Site();
  const address = ipv4("192.0.2.7");
  const clients = Array.from({ length: 1_000 }, (_, i) => {
    const macs = new CookieGenerator(site.publicKey);
    return { macs, port: 1024 + i, at: i * 5, isConnected: false };
  });
  let connected = 0;
  const start = site.now;
  while (connected < clients.length && site.now - start < 200_000) {
    // Keeps the device under load, and nothing else.
    site.flood({ count: 10, perMs: 2, from: FLOODER });
    for (const client of clients) {
      if (client.isConnected || site.now - start < client.at) continue;
      client.at += 5_000 + site.random.below(334);
      const reason = site.put(site.message(client.macs), address, client.port);
      if (reason === DropReason.cookieSent) {
        client.macs.consumeReply(site.takeReply(), site.now);
      } else if (reason === DropReason.none) {
        site.gate.wasGenuine();
        client.isConnected = true;
        connected++;
      }
    }
  }
  assert(site.now - start < 40_000, `${connected} after ${site.now - start} ms`);
});

Deno.test("a client that answers handshakes with forgeries, or sends cookie replies for its own session, leaves the others' answers", () => {
  const { simulation, gateway, toClient, client } = connectedPair();
  const random = new Random(6);
  const macs = new CookieGenerator(gateway.identity.public);
  const hostile = gateway.device.addPeer({
    publicKey: keyPair(random.bytes(32)).public,
    allowedIps: [],
    endpoint: { address: ipv4("203.0.113.66"), port: 666 },
  }, simulation.now);
  gateway.initiate(hostile);
  const forge = (type: number, size: number, indexAt: number) => {
    const message = random.bytes(size);
    message.set([type, 0, 0, 0]);
    new DataView(message.buffer).setUint32(indexAt, hostile.handshake!.localIndex, true);
    if (type === RESPONSE) macs.addMacs(message, 0);
    return message;
  };
  const response = forge(RESPONSE, RESPONSE_SIZE, 8);
  const cookie = forge(COOKIE_REPLY, COOKIE_REPLY_SIZE, 4);
  const first = toClient.current;
  for (let ms = 0; ms < 200; ms++) {
    simulation.after(ms, () => {
      for (let i = 0; i < 5; i++) {
        gateway.receive(response, { address: ipv4("203.0.113.66"), port: 666 });
        gateway.receive(cookie, { address: ipv4("203.0.113.66"), port: 666 });
      }
    });
  }
  simulation.after(100, () => {
    toClient.initiationSentAt = -Infinity;
    gateway.initiate(toClient);
  });
  simulation.run(1_000);
  assert(toClient.current !== first, "the gateway's own handshake had no answer");
  assert(client.dropped(DropReason.handshakeFlood) === 0);
});
