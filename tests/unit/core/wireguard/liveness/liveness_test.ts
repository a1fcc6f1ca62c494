/** Tests of the watch over peers, with a clock that only the tests move. */
import {
  type Traffic,
  Watch,
  WatchAction,
} from "../../../../../lib/core/wireguard/liveness/liveness.ts";
import { MARK_HIGH } from "../../../../../lib/core/wireguard/liveness/recognition.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";

const { none, heartbeat, hello, ask, release } = WatchAction;
const NAMES = Object.keys(WatchAction);

/** A peer as the device keeps it, and its watch. */
class Watched implements Traffic {
  lastReceivedAt = -Infinity;
  lastSentAt = -Infinity;
  unansweredSince = Infinity;
  askedSince = Infinity;
  initiationSentAt = -Infinity;
  now = 0;
  readonly watch: Watch;
  /** What was done, as in `2000 heartbeat`. */
  readonly done: string[] = [];

  constructor(role: "client" | "server", { peerTimeout = 6_000, releaseAfter = 180_000 } = {}) {
    this.watch = new Watch({ role, peerTimeout, releaseAfter });
  }

  receive(): void {
    this.lastReceivedAt = this.now;
    this.unansweredSince = this.askedSince = Infinity;
    if (this.watch.isDown) this.watch.renewed();
  }

  sendData(): void {
    this.lastSentAt = this.now;
    this.unansweredSince = Math.min(this.unansweredSince, this.now);
  }

  initiate(): void {
    this.initiationSentAt = this.now;
    this.askedSince = Math.min(this.askedSince, this.now);
    this.unansweredSince = Math.min(this.unansweredSince, this.now);
  }

  /** A handshake that this end began, just now, with what round trip in ms. */
  shakeHands(roundTrip = 20): void {
    this.initiate();
    this.watch.roundTrip.measured(roundTrip);
    this.watch.recognition.sessionBegan(true, this.now);
    this.receive();
    this.lastSentAt = this.now;
  }

  /** The first packet of the session comes, with the mark or without. */
  receiveFirst(isMarked: boolean): void {
    this.receive();
    this.watch.recognition.received(isMarked ? MARK_HIGH : 0);
  }

  /** A peer of ours says hello. */
  recognize(interval = 2_000): void {
    this.receiveFirst(true);
    this.watch.recognition.controlReceived();
    this.watch.recognition.helloReceived(HELLO, 0);
    this.watch.askedFor(interval);
  }

  /** Goes on until `time`, doing what is due when it is. `onHeartbeat` is called for each heartbeat. */
  runUntil(time: number, onHeartbeat: () => void = () => {}): void {
    for (;;) {
      const at = Math.max(this.now, this.watch.nextAt(this));
      if (at > time) break;
      this.now = at;
      const action = this.watch.next(this, at);
      assert(action !== none, `nothing was due at ${at}, though announced`);
      this.done.push(`${Math.round(at)} ${NAMES[action]}`);
      if (action === heartbeat) {
        this.lastSentAt = at;
        onHeartbeat();
      }
      if (action === hello) {
        this.lastSentAt = at;
        this.watch.recognition.helloSent(at);
      }
      if (action === ask) this.initiate();
      if (action === release) return;
    }
    this.now = time;
  }
}

const HELLO = {
  version: 1,
  role: null,
  number: 1,
  capabilities: 0,
  heartbeatInterval: 2_000,
  software: "",
  seenAt: null,
  mtu: 0,
  time: 0,
  instance: 0,
};

/** A client of a server of ours. */
function knowingClient(options: { peerTimeout?: number; roundTrip?: number } = {}): Watched {
  const client = new Watched("client", options);
  client.shakeHands(options.roundTrip);
  client.recognize((options.peerTimeout ?? 6_000) / 3);
  return client;
}

Deno.test("client sends a server of ours a heartbeat every third of PeerTimeout, and no question while it answers", () => {
  const client = knowingClient();
  client.runUntil(9_000, () => client.receive());
  assertEquals(client.done, [2, 4, 6, 8].map((second) => `${second}000 heartbeat`));
});

Deno.test("client sends a stock server nothing of its own, however long both are silent", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.receiveFirst(false);
  client.runUntil(10_000_000);
  assertEquals(client.done, []);
  assertEquals(client.watch.isOurs, false);
});

Deno.test("client confirms the session to a server that says nothing three times, and then takes it for stock", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.runUntil(10_000_000);
  assertEquals(client.done, ["1000 confirm", "2000 confirm", "4000 confirm", "7500 verdict"]);
  // Which it stays over handshakes, until it shows the mark.
  client.done.length = 0;
  client.shakeHands();
  client.runUntil(20_000_000);
  assertEquals(client.done, []);
  client.receiveFirst(true);
  client.runUntil(20_000_000);
  assertEquals(client.done, ["20000000 hello"]);
});

Deno.test("end that is sent what shows the mark says hello at once, again when there is no answer, and then once an hour", () => {
  const server = new Watched("server");
  server.shakeHands();
  server.receiveFirst(true);
  server.runUntil(3_600_000);
  assertEquals(server.done, [0, 1, 3, 7, 15].map((second) => `${second * 1_000} hello`));
  // Whatever handshakes pass.
  for (let minute = 60; minute < 180; minute += 2) {
    server.now = minute * 60_000;
    server.shakeHands();
    server.receiveFirst(true);
    server.runUntil(server.now + 119_000);
  }
  assertEquals(server.done.slice(5), ["3615000 hello", "7215000 hello"]);
});

Deno.test("end sends what the other asks for when data passes in one direction only, and nothing while it passes in both", () => {
  for (const direction of ["in", "out", "both"] as const) {
    const client = knowingClient();
    for (let time = 100; time <= 9_000; time += 100) {
      client.runUntil(time, () => client.receive());
      if (direction !== "out") client.receive();
      if (direction !== "in") client.sendData();
    }
    assertEquals(client.done.length > 0, direction !== "both", `${direction}: ${client.done}`);
  }
});

Deno.test("end is down after PeerTimeout of silence, whatever passed before, and is asked again and again meanwhile", () => {
  for (const quiet of [0, 500, 2_000, 7_300]) {
    const client = knowingClient();
    for (let time = 100; time <= quiet; time += 100) {
      client.runUntil(time);
      client.receive();
      client.sendData();
    }
    const { lastReceivedAt } = client;
    client.runUntil(60_000);
    assertEquals(client.done.at(-1), `${lastReceivedAt + 6_000} down`, `after ${quiet} ms`);
    assert(client.done.filter((step) => step.endsWith("heartbeat")).length >= 15);
    // A server that was restarted has no session, but answers handshakes.
    assertEquals(client.done.filter((step) => step.endsWith("ask")).length, 1);
    assertEquals(client.watch.nextAt(client), Infinity);
  }
});

Deno.test("end asks for heartbeats so close that ten are lost before it is down, where a question takes too long", () => {
  assertEquals(Math.round(knowingClient({ roundTrip: 300 }).watch.interval), 2_000);
  assertEquals(Math.round(knowingClient({ roundTrip: 3_000 }).watch.interval), 600);
  assertEquals(
    Math.round(knowingClient({ peerTimeout: 2_000, roundTrip: 500 }).watch.interval),
    200,
  );
});

Deno.test("peer asks for no more than it may: neither a flood nor silence", () => {
  for (const [asked, expected] of [[0, 2_000], [1, 150], [5_000, 5_000], [2 ** 32 - 1, 60_000]]) {
    const client = knowingClient();
    client.watch.askedFor(asked!);
    for (let time = 50; time < 130_000; time += 50) {
      client.runUntil(time);
      client.receive();
    }
    const [first, second] = client.done.map((step) => Number(step.split(" ")[0]));
    assertEquals(second! - first!, expected, `${asked} ms`);
  }
});

Deno.test("client leaves a stock server 15 s to answer data, and then three handshakes' time and a round trip", () => {
  for (const roundTrip of [20, 3_000]) {
    const client = new Watched("client");
    client.shakeHands(roundTrip);
    client.receiveFirst(false);
    client.runUntil(100_000);
    client.sendData();
    client.runUntil(115_000);
    assertEquals(client.done, []);
    // By WireGuard's own timer, after KEEPALIVE_TIMEOUT + REKEY_TIMEOUT.
    client.initiate();
    client.runUntil(200_000);
    const downAt = 126_000 + Math.ceil(roundTrip / 25) * 25;
    assertEquals(client.done, [`${downAt} down`]);
  }
});

Deno.test("client is satisfied with whatever comes from a stock server", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.receiveFirst(false);
  // An upload: the kernel's keepalive comes within 10 s of the first data.
  for (let time = 0; time < 600_000; time += 100) {
    client.runUntil(time);
    client.sendData();
    if (time % 10_000 === 9_900) client.receive();
  }
  assertEquals(client.done, []);
});

Deno.test("client counts a handshake by itself for nothing while a stock server may still answer its data", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.receiveFirst(false);
  client.runUntil(120_000);
  // A rekey whose initiation is lost, in an upload.
  client.sendData();
  client.initiate();
  client.runUntil(129_900);
  client.receive();
  client.runUntil(500_000);
  assertEquals(client.done, []);
});

Deno.test("time in which the program did not run is no silence of the peer's, whose answer is waited for", () => {
  for (const role of ["client", "server"] as const) {
    for (const standstill of [8_000, 600_000]) {
      const end = new Watched(role);
      end.shakeHands();
      end.recognize();
      end.runUntil(1_000);
      end.now += standstill;
      end.done.length = 0;
      const { now } = end;
      // It is asked at once, and answers.
      end.runUntil(now + 100, () => end.receive());
      assert(end.done.some((step) => step.endsWith("heartbeat")), `${end.done}`);
      assertEquals(end.watch.isDown, false);
      // Where it does not, it is missed PeerTimeout later.
      const { lastReceivedAt } = end;
      end.runUntil(now + 20_000);
      assertEquals(end.done.at(-1), `${Math.ceil(lastReceivedAt / 25) * 25 + 6_000} down`);
    }
  }
});

Deno.test("a peer that is gone is missed on a host that stands still again and again", () => {
  const client = knowingClient();
  client.runUntil(1_000);
  while (!client.watch.isDown && client.now < 60_000) {
    client.now += 3_000;
    client.runUntil(client.now);
  }
  assert(client.now <= 20_000, `${client.now}`);
});

Deno.test("nobody is missed before the first session", () => {
  const client = new Watched("client");
  client.initiate();
  client.runUntil(1_000_000);
  assertEquals(client.done, []);
});

Deno.test("what was known of the server is in doubt when it was missing: another program may run there", () => {
  const client = knowingClient();
  client.runUntil(20_000);
  assert(client.watch.isDown);
  client.shakeHands();
  assertEquals([client.watch.isDown, client.watch.isOurs], [false, false]);
  client.receiveFirst(false);
  client.done.length = 0;
  client.runUntil(100_000);
  assertEquals(client.done, []);
});

Deno.test("server that was missing and is seen again in the same session is what it was", () => {
  const client = knowingClient();
  client.runUntil(20_000);
  assert(client.watch.isDown);
  client.receive();
  assertEquals([client.watch.isDown, client.watch.isOurs], [false, true]);
});

Deno.test("server finds a client of ours missing after PeerTimeout, and releases it after ReleaseAfter", () => {
  const server = new Watched("server", { releaseAfter: 9_000 });
  server.shakeHands();
  server.recognize();
  server.runUntil(60_000);
  const steps = server.done.filter((step) => !step.endsWith("heartbeat"));
  assertEquals(steps, ["6000 down", "9000 release"]);
  assertEquals(server.watch.nextAt(server), Infinity);
});

Deno.test("server lets its client speak first, and sends nothing while that is answered", () => {
  const server = new Watched("server");
  server.shakeHands();
  server.recognize();
  for (let time = 2_000; time < 60_000; time += 2_000) {
    server.runUntil(time);
    server.receive();
    server.lastSentAt = time;
  }
  assertEquals(server.done, []);
});

Deno.test("server finds no fault with a stock client, whatever it leaves unsaid", () => {
  // PersistentKeepalive, the passive keepalive, and the two that end a handshake, one after the other.
  for (const times of [[0, 25_000, 50_000], [0, 10_000, 20_000], [0, 100, 25_000], [0]]) {
    const server = new Watched("server");
    for (const time of times) {
      server.runUntil(time);
      if (time === 0) server.receiveFirst(false);
      else server.receive();
    }
    server.sendData();
    server.runUntil(1_000_000);
    assertEquals(server.done, [], times.join());
  }
});
