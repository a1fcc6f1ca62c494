/**
 * Tests with random and mutated bytes for every way into the core: nothing throws, nothing is accepted that was not
 * sealed, memory stays flat. VPN_FUZZ_COUNT sets how many there are, VPN_FUZZ_SEED which.
 */
import { CookieGenerator } from "../../../lib/core/noise/cookie.ts";
import { DROP_REASON_NAMES, DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { COOKIE_REPLY_SIZE, RESPONSE_RECEIVER_OFFSET } from "../../../lib/core/wire/messages.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { fuzz, FUZZ_COUNT, FUZZ_SEED } from "../../support/fuzz.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  hex,
  repairHeaderChecksum,
} from "../../support/packets/packet_builder.ts";
import {
  buildIcmp6,
  buildTcp6,
  buildUdp6,
  bytes6,
  DEFAULT_SOURCE6,
} from "../../support/packets/packet_builder6.ts";
import type { Random } from "../../support/random.ts";
import { RECEIVE_OFFSET, type SimulatedDevice } from "../../support/packets/simulated_device.ts";
import {
  connectedPair,
  downward,
  INITIATION,
  RESPONSE,
  sentBy,
  TRANSPORT,
  type TunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";

/** Rounds after which the two ends make new keys, so that there is a fresh session to attack. */
const ROUNDS_PER_SESSION = 2000;
const FORGER = { address: 0xcb00_7142, port: 666 };

/** A pair under attack: what its ends sealed for each other, and what they accepted. */
class Target {
  readonly pair: TunnelPair = connectedPair({ seed: FUZZ_SEED });
  /** Real messages, already delivered; some to each end. */
  #corpus: { readonly to: SimulatedDevice; readonly bytes: Bytes }[] = [];
  #numbers = 0;
  #expected: string | null = null;
  accepted = 0;

  constructor() {
    for (const device of [this.pair.client, this.pair.gateway]) {
      device.tun.onWritten = (packet) => {
        const text = new TextDecoder().decode(packet.subarray(28));
        assert(text === this.#expected, `"${text}" was accepted and not sealed just now`);
        this.#expected = null;
        this.accepted++;
      };
    }
    this.renew();
  }

  /** Has both ends make a new session, and collects the messages of that. */
  renew(): void {
    const { pair } = this;
    const { simulation, client, gateway, sent } = pair;
    simulation.link.isDown = false;
    // Long enough for the load to pass, and for retries under way to end.
    simulation.run(6_000);
    sent.length = 0;
    this.#initiate();
    simulation.run(100);
    this.#corpus = sent.map(({ bytes, sender }) => ({
      to: sender === client ? gateway : client,
      bytes,
    }));
    assertEquals(sentBy(pair, gateway, RESPONSE).length, 1, "no new session");
    for (let i = 0; i < 4; i++) {
      this.#corpus.push({ to: gateway, bytes: this.deliverGenuine(gateway) });
      this.#corpus.push({ to: client, bytes: this.deliverGenuine(client) });
    }
    const cookieReply = new Uint8Array(COOKIE_REPLY_SIZE);
    cookieReply[0] = 3;
    cookieReply.set(sent[0]!.bytes.subarray(4, 8), 4);
    this.#corpus.push({ to: client, bytes: cookieReply });
    simulation.link.isDown = true;
    // A handshake that waits for its response is there to be attacked as well.
    this.#initiate();
    for (const device of [client, gateway]) device.events.length = 0;
  }

  /** Sends an initiation, whenever the last one was, with a timestamp that is newer than that one's. */
  #initiate(): void {
    const { client, toClient, toGateway } = this.pair;
    client.wallClockOffset += 20;
    toGateway.initiationSentAt = toClient.initiationReceivedAt = -Infinity;
    client.initiate(toGateway);
  }

  /** Seals a message for `to`, attacks `to` with mutations of it, delivers it, and makes sure that it alone arrives. */
  deliverGenuine(to: SimulatedDevice, random: Random | null = null): Bytes {
    const { client, gateway, sent, simulation } = this.pair;
    const text = `packet ${this.#numbers++}`;
    const from = to === gateway ? client : gateway;
    const wasDown = simulation.link.isDown;
    simulation.link.isDown = true;
    sent.length = 0;
    from.send(to === gateway ? upward(text) : downward(text));
    simulation.link.isDown = wasDown;
    const { bytes } = sent.find(({ type }) => type === TRANSPORT)!;
    for (let i = 0; random !== null && i < 3; i++) {
      const mutated = random.mutate(bytes);
      if (mutated.toHex() !== bytes.toHex()) to.receive(mutated, FORGER);
    }
    this.#expected = text;
    to.receive(bytes, from);
    assertEquals(this.#expected, null, `"${text}" was not accepted`);
    return bytes;
  }

  /** Plays the initiation again so often that the gateway asks for cookies from now on. */
  flood(): void {
    const { to, bytes } = this.#corpus[0]!;
    for (let i = 0; i < 300; i++) to.receive(bytes, FORGER);
    assert(this.pair.gateway.dropped(DropReason.cookieSent) > 0, "no load");
  }

  /** One hostile datagram, or several merged ones. */
  attack(random: Random): void {
    const { client, gateway } = this.pair;
    const { to, bytes } = random.pick(this.#corpus);
    const kind = random.below(16);
    if (kind < 3) {
      random.pick([client, gateway]).receive(random.bytes(random.below(300)), FORGER);
    } else if (kind < 6) {
      to.receive(this.#disguised(random, bytes), FORGER);
    } else if (kind < 12) {
      to.receive(random.mutate(bytes), FORGER);
    } else if (kind === 12) {
      to.receive(this.#plausible(random.mutate(bytes), to), FORGER);
    } else if (kind === 13) {
      to.receive(bytes, FORGER);
    } else if (kind === 14) {
      const parts = [random.mutate(bytes), bytes, random.bytes(random.below(200))];
      to.receive(Uint8Array.from(parts.flatMap((part) => [...part])), {
        ...FORGER,
        segmentSize: random.below(200),
      });
    } else {
      this.deliverGenuine(to, random);
    }
  }

  /** Random bytes that begin like a real message: its type, and sometimes an index that is in use. */
  #disguised(random: Random, like: Bytes): Bytes {
    const bytes = random.bytes(random.chance(0.5) ? like.length : random.below(200));
    bytes.set(like.subarray(0, Math.min(bytes.length, random.pick([4, 8, 12, 16]))));
    return bytes;
  }

  /**
   * Gives a handshake message what anybody can give it who has seen the one before it and knows the receiver's public
   * key: the index of the handshake under way, and, seven times in eight, the right first MAC.
   */
  #plausible(message: Bytes, to: SimulatedDevice): Bytes {
    const pending = this.pair.toGateway.handshake;
    const isResponse = message[0] === RESPONSE;
    if (message.length < 40 || (!isResponse && message[0] !== INITIATION)) return message;
    if (isResponse && pending !== null) {
      const view = new DataView(message.buffer);
      view.setUint32(RESPONSE_RECEIVER_OFFSET, pending.localIndex, true);
    }
    if ((message.at(-1)! & 7) > 0) new CookieGenerator(to.identity.public).addMacs(message, 0);
    return message;
  }

  /** The state that no hostile datagram may change. */
  get state(): unknown[] {
    const { toClient, toGateway } = this.pair;
    return [toClient, toGateway].flatMap((peer) => [
      peer.current,
      peer.previous,
      peer.next,
      peer.endpoint.address,
      peer.endpoint.port,
      peer.timers.persistentInterval,
    ]);
  }
}

/** All reasons for which datagrams from a stranger are dropped; a run that misses one attacks less than it should. */
const REASONS_OF_GATEWAY: readonly DropReason[] = [
  DropReason.unknownMessage,
  DropReason.badMessageLength,
  DropReason.badMac1,
  DropReason.cookieSent,
  DropReason.badHandshake,
  DropReason.staleTimestamp,
  DropReason.unknownIndex,
  DropReason.replayed,
  DropReason.badTag,
];
const REASONS_OF_CLIENT: readonly DropReason[] = [
  DropReason.unknownMessage,
  DropReason.badMessageLength,
  DropReason.badMac1,
  DropReason.badCookie,
  DropReason.badHandshake,
  DropReason.unknownIndex,
  DropReason.replayed,
  DropReason.badTag,
];

Deno.test(`the device and the pipeline accept none of ${FUZZ_COUNT} hostile datagrams`, () => {
  const target = new Target();
  const { simulation, client, gateway, sent } = target.pair;
  let state = target.state;
  fuzz((random, number) => {
    if (number % ROUNDS_PER_SESSION === 0) {
      target.renew();
      state = target.state;
    }
    // Half of them come so thick that the gateway is under load.
    if (number % ROUNDS_PER_SESSION === ROUNDS_PER_SESSION / 2) target.flood();
    const isCrowded = number % ROUNDS_PER_SESSION >= ROUNDS_PER_SESSION / 2;
    simulation.clock.advance(isCrowded ? Number(random.chance(0.1)) : random.below(20));
    sent.length = 0;
    target.attack(random);
    for (const device of [client, gateway]) device.poll();
    assert(sent.length < 10, `${sent.length} datagrams sent`);
    const now = target.state;
    assert(state.every((value, i) => value === now[i]), "a hostile datagram changed the state");
    for (const { events } of [client, gateway]) assertEquals(events.length, 0);
  });
  assert(target.accepted > FUZZ_COUNT / 32, `${target.accepted} genuine packets accepted`);
  for (const reason of REASONS_OF_GATEWAY) assert(gateway.dropped(reason) > 0, `${reason}`);
  for (const reason of REASONS_OF_CLIENT) assert(client.dropped(reason) > 0, `${reason}`);
});

Deno.test(`the pipeline takes ${FUZZ_COUNT} random reads from the TUN`, () => {
  const { client, gateway, simulation, toGateway, sent } = connectedPair({ seed: FUZZ_SEED });
  simulation.link.isDown = true;
  gateway.tun.onWritten = () => {};
  const packets = [
    upward("hello"),
    buildTcp({ payload: new Uint8Array(900), tcpOptions: [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0] }),
    buildIcmp({ payload: new Uint8Array(56) }),
    buildUdp({ options: [7, 7, 4, 0, 0, 0, 0, 0], payload: new Uint8Array(20) }),
    buildUdp({ destination: "8.8.8.8" }),
    hex("60 00000000 08 3a ff 00000000000000000000000000000001 00000000000000000000000000000001"),
  ];
  fuzz((random) => {
    const header = random.chance(0.3)
      ? new Uint8Array(10)
      : random.chance(0.5)
      ? random.bytes(10)
      : superPacketHeader(random);
    const packet = random.mutate(random.pick(packets));
    if (random.chance(0.7)) repairHeaderChecksum(packet);
    sent.length = 0;
    client.tun.send(packet, header);
    client.readTun();
    for (const { bytes } of sent) gateway.receive(bytes, client);
    // The key must not run out, and the peers must not wait for each other.
    toGateway.timers.newHandshakeAt = Infinity;
    simulation.clock.advance(0.01);
  });
});

Deno.test(`the pipeline takes ${FUZZ_COUNT} packets of IPv6, from the TUN and from a peer`, () => {
  const pair = connectedPair({ seed: FUZZ_SEED, hasIpv6: true });
  const { client, gateway, simulation, toGateway, sent } = pair;
  simulation.link.isDown = true;
  const options = [60, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
  const part = [44, [0, 0, 0, 1, 0, 0, 0, 1]] as const;
  const packets = [
    buildUdp6({ payload: new Uint8Array(24) }),
    buildTcp6({ payload: new Uint8Array(900), tcpOptions: new Uint8Array(12).fill(1) }),
    buildTcp6({ payload: new Uint8Array(300), extensions: [options, options] }),
    buildUdp6({ payload: new Uint8Array(32), extensions: [options, part] }),
    buildUdp6({ destination: "fd00:77::9" }),
    buildUdp6({ destination: "2001:db8::1", payload: new Uint8Array(1300) }),
    buildIcmp6({ payload: new Uint8Array(56) }),
    buildIcmp6({ type: 1, payload: new Uint8Array(56) }),
  ];
  let taken = 0;
  // Whatever reaches a host is whole, and from whom it says.
  gateway.tun.onWritten = (packet) => {
    if (packet[0]! >>> 4 !== 6) return;
    taken++;
    assertEquals(packet.length, 40 + packet[4]! * 256 + packet[5]!);
    assertEquals(packet.subarray(8, 24), bytes6(DEFAULT_SOURCE6));
  };
  fuzz((random) => {
    const packet = random.pick(packets).slice();
    // Mostly behind the addresses, or nothing would come any further than these.
    for (let edits = random.below(4); edits > 0; edits--) {
      const at = random.chance(0.6) ? 40 + random.below(packet.length - 40) : random.below(40);
      packet[at] = random.chance(0.3) ? random.pick([0, 43, 44, 51, 58, 60]) : random.below(256);
    }
    const header = random.chance(0.5) ? new Uint8Array(10) : superPacketHeader(random);
    sent.length = 0;
    // From the TUN, where it is judged, or as a peer seals it that judges nothing.
    if (random.chance(0.5)) {
      client.tun.send(packet, header);
      client.readTun();
    } else {
      client.memory.bytes.set(packet, RECEIVE_OFFSET);
      client.device.send(toGateway, RECEIVE_OFFSET, packet.length, simulation.now);
      client.engine.flush(simulation.now);
    }
    for (const { bytes } of [...sent]) gateway.receive(bytes, client);
    toGateway.timers.newHandshakeAt = Infinity;
    simulation.clock.advance(0.01);
  });
  assert(taken > FUZZ_COUNT / 20, `${taken} packets came through`);
  for (
    const reason of [
      DropReason.badExtensionHeader,
      DropReason.sourceRoute,
      DropReason.spoofedSource,
      DropReason.badTotalLength,
      DropReason.shortTransportHeader,
      DropReason.linkOnly,
      DropReason.noEgress,
      DropReason.noRoute,
    ]
  ) assert(gateway.dropped(reason) > 0, `${DROP_REASON_NAMES[reason]}`);
});

/**
 * A virtio-net header that fits one of the packets, or nearly: of partial checksum or not, of segments of some bytes.
 */
function superPacketHeader(random: Random): Bytes {
  const segmentSize = random.between(8, 255);
  return Uint8Array.of(
    random.below(2),
    random.pick([0, 1, 4, 5, 0x81]),
    ...[40, 0, segmentSize, 0, 20, 0, 16, 0],
  );
}
