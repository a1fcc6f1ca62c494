/** Tests of what a device does with control messages of a peer that has the key and means harm. */
import { Control } from "../../../../../lib/core/wireguard/liveness/control.ts";
import {
  ControlKind,
  controlKind,
  writeHeartbeat,
} from "../../../../../lib/core/wireguard/liveness/control_message.ts";
import {
  CAPABILITIES,
  HELLO_VERSION,
  writeHello,
} from "../../../../../lib/core/wireguard/liveness/hello.ts";
import { Paths } from "../../../../../lib/core/transport/paths.ts";
import { Watch } from "../../../../../lib/core/wireguard/liveness/liveness.ts";
import type { Peer } from "../../../../../lib/core/wireguard/peer.ts";
import { MARK_HIGH, Software } from "../../../../../lib/core/wireguard/liveness/recognition.ts";
import { createMemory } from "../../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { fuzz } from "../../../../support/fuzz.ts";
import { stubPeer, stubSession } from "../../../../support/wireguard/peer_stub.ts";

const OPTIONS = { role: "server", peerTimeout: 6_000, releaseAfter: 180_000 } as const;
const IN = 64;
const OUT = 4096;

/** A control that keeps what it sends, and one peer. */
class Subject {
  readonly memory = createMemory(8192);
  readonly watch = new Watch(OPTIONS);
  readonly peer: Peer = stubPeer(this.watch);
  readonly sent: number[] = [];
  readonly lengths: number[] = [];
  readonly reported: string[] = [];
  readonly control = new Control({
    memory: this.memory,
    paths: new Paths({ holders: 1, unheld: 1 }),
    watch: OPTIONS,
    software: "vpn/test",
    instance: 77,
    wallClock: () => 1_700_000_000_000,
    send: (_peer, write) => {
      const length = write(OUT);
      this.lengths.push(length);
      this.sent.push(controlKind(this.memory.view, OUT, length));
      return true;
    },
    release: () => this.reported.push("release"),
    report: (kind) => this.reported.push(kind),
  });
  readonly #keypair = stubSession(this.peer, 1);

  receive(length: number, now: number): boolean {
    const { endpoint } = this.peer;
    return this.control.receive(this.peer, this.#keypair, IN, length, endpoint.path, now);
  }

  receiveHeartbeat(now: number, kind: 3 | 4 = ControlKind.heartbeat, sequence = 1): void {
    const heartbeat = { sequence, interval: 2_000 };
    assert(this.receive(writeHeartbeat(this.memory, IN, kind, heartbeat), now));
  }

  receiveHello(now: number, kind: 1 | 2, number: number): void {
    const hello = {
      version: HELLO_VERSION,
      role: "client",
      number,
      capabilities: CAPABILITIES,
      heartbeatInterval: 2_000,
      software: "",
      seenAt: null,
      mtu: 0,
      time: 0,
      instance: 0,
    } as const;
    assert(this.receive(writeHello(this.memory, IN, kind, hello), now));
  }
}

Deno.test("a question is answered once, and an answer never", () => {
  const subject = new Subject();
  subject.receiveHello(0, ControlKind.hello, 5);
  assertEquals(subject.sent.splice(0), [ControlKind.helloAnswer]);
  subject.receiveHeartbeat(0);
  assertEquals(subject.sent.splice(0), [ControlKind.heartbeatAnswer]);
  subject.receiveHeartbeat(0, ControlKind.heartbeatAnswer);
  subject.receiveHello(0, ControlKind.helloAnswer, 5);
  assertEquals(subject.sent, []);
});

Deno.test("an answer to a hello that was not sent tells nothing", () => {
  const subject = new Subject();
  subject.receiveHello(0, ControlKind.helloAnswer, 1);
  assertEquals(subject.watch.recognition.software, Software.unknown);
  subject.control.sendHello(subject.peer, 0);
  subject.receiveHello(0, ControlKind.helloAnswer, 2);
  assertEquals(subject.watch.recognition.software, Software.unknown);
  subject.receiveHello(0, ControlKind.helloAnswer, 1);
  assertEquals(subject.watch.recognition.software, Software.ours);
  assertEquals(subject.reported, ["recognized"]);
});

Deno.test("an answer to a heartbeat counts once, and only to one that was sent", () => {
  const subject = new Subject();
  const { roundTrip, recognition } = subject.watch;
  recognition.received(MARK_HIGH);
  subject.receiveHeartbeat(100, ControlKind.heartbeatAnswer, 1);
  assertEquals(roundTrip.smoothed, null);
  subject.control.sendHeartbeat(subject.peer, 1_000);
  subject.receiveHeartbeat(1_100, ControlKind.heartbeatAnswer, 1);
  subject.receiveHeartbeat(9_000, ControlKind.heartbeatAnswer, 1);
  subject.receiveHeartbeat(9_000, ControlKind.heartbeatAnswer, 2 ** 32 - 1);
  assertEquals(roundTrip.smoothed, 100);
});

Deno.test("before a packet has come in a session a keepalive goes in place of a heartbeat: another program may run there", () => {
  const subject = new Subject();
  subject.watch.recognition.controlReceived();
  subject.watch.recognition.sessionBegan(true, 0);
  subject.control.sendHeartbeat(subject.peer, 0);
  assertEquals(subject.lengths.splice(0), [0]);
  subject.watch.recognition.received(MARK_HIGH);
  subject.control.sendHeartbeat(subject.peer, 0);
  assertEquals(subject.lengths, [16]);
});

Deno.test("an answer to a hello counts though heartbeats have come since it was sent", () => {
  const subject = new Subject();
  subject.control.sendHello(subject.peer, 0);
  subject.control.sendHello(subject.peer, 1_000);
  subject.receiveHeartbeat(1_500);
  subject.receiveHello(3_000, ControlKind.helloAnswer, 1);
  assert(subject.watch.recognition.hello !== null);
});

Deno.test("a peer that answers heartbeats and no hello is sent a hello every eight seconds at the most", () => {
  const subject = new Subject();
  const { recognition } = subject.watch;
  recognition.sessionBegan(false, 0);
  recognition.received(MARK_HIGH);
  const sentAt: number[] = [];
  for (let now = 0; now < 60_000; now += 100) {
    subject.receiveHeartbeat(now);
    if (now < recognition.helloAt()) continue;
    subject.control.sendHello(subject.peer, now);
    sentAt.push(now / 1000);
  }
  assertEquals(sentAt, [0, 1, 3, 7, 15, 23, 31, 39, 47, 55]);
});

Deno.test("a peer that asks without end has a share of answers", () => {
  const subject = new Subject();
  for (let round = 0; round < 100_000; round++) subject.receiveHeartbeat(round / 100);
  // 64 at once, and 40 in a second.
  assert(subject.sent.length >= 100 && subject.sent.length <= 106, `${subject.sent.length}`);
  assertEquals(subject.reported, ["recognized"]);
});

Deno.test("no control message of an authenticated peer throws, or has more than one answer", () => {
  const subject = new Subject();
  fuzz((random, number) => {
    subject.sent.length = 0;
    subject.reported.length = 0;
    const length = random.below(1_500);
    const bytes = random.bytes(length);
    bytes.set([0, random.below(8), 0, random.below(256)].slice(0, length));
    subject.memory.bytes.set(bytes, IN);
    const isTaken = subject.receive(length, number * 50);
    assert(subject.sent.length <= 1 && subject.reported.length <= 1);
    const interval = subject.watch.nextAt(subject.peer);
    assert(!Number.isNaN(interval));
    if (length >= 4 && bytes[1] !== 0) assert(isTaken, "a kind to come is no packet");
  });
});
