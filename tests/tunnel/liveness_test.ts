/** Tests of the watch over peers, with a clock that only the tests move. */
import { createWatch, type Traffic, type Watch, WatchAction } from "../../lib/tunnel/liveness.ts";
import { assert, assertEquals } from "../support/assert.ts";

const { none, beat, ask, release } = WatchAction;
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
  /** What was done, as in `2000 beat`. */
  readonly done: string[] = [];

  readonly #role: "client" | "server";

  constructor(role: "client" | "server", { peerTimeout = 6_000, releaseAfter = 180_000 } = {}) {
    this.#role = role;
    this.watch = createWatch({ role, peerTimeout, releaseAfter });
  }

  receive(): void {
    this.lastReceivedAt = this.now;
    this.unansweredSince = this.askedSince = Infinity;
    if (this.watch.isDown) this.watch.renewed(this.now);
  }

  /** A keepalive comes, to a client an answer unless told otherwise; whether it is to be answered. */
  receiveKeepalive(isAnswer = this.#role === "client"): boolean {
    this.receive();
    const answers = this.watch.keepaliveReceived(this, isAnswer, this.now);
    if (answers) this.lastSentAt = this.now;
    return answers;
  }

  sendData(): void {
    this.lastSentAt = this.now;
    this.unansweredSince = Math.min(this.unansweredSince, this.now);
  }

  initiate(): void {
    this.lastSentAt = this.initiationSentAt = this.now;
    this.askedSince = Math.min(this.askedSince, this.now);
    this.unansweredSince = Math.min(this.unansweredSince, this.now);
  }

  /** A handshake, just now. */
  shakeHands(): void {
    this.initiate();
    this.receive();
  }

  /** Goes on until `time`, doing what is due when it is. `onBeat` is called for each beat. */
  runUntil(time: number, onBeat: () => void = () => {}): void {
    for (;;) {
      const at = Math.max(this.now, this.watch.nextAt(this));
      if (at > time) break;
      this.now = at;
      const action = this.watch.next(this, at);
      assert(action !== none, `nothing was due at ${at}, though announced`);
      this.done.push(`${Math.round(at)} ${NAMES[action]}`);
      if (action === beat) {
        this.lastSentAt = at;
        onBeat();
      }
      if (action === ask) this.initiate();
      if (action === release) return;
    }
    this.now = time;
  }
}

/** A client whose server answers beats: it knows after two. */
function knowingClient(): Watched {
  const client = new Watched("client");
  client.shakeHands();
  client.runUntil(2_300, () => client.receiveKeepalive());
  assert(client.watch.isKnown);
  client.done.length = 0;
  return client;
}

Deno.test("client beats quickly until it knows that the server answers, then every third of PeerTimeout", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.runUntil(9_000, () => client.receiveKeepalive());
  assertEquals(client.done, ["1100 beat", "2200 beat", "4200 beat", "6200 beat", "8200 beat"]);
});

Deno.test("client beats on, and never answers, when the server is silent by nature", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.runUntil(60_000);
  assertEquals(client.watch.isDown, false);
  assertEquals(client.done.at(-1), "58400 beat");
  assertEquals(client.receiveKeepalive(), false);
});

Deno.test("client beats when data passes in one direction only, and not while it passes in both", () => {
  for (const direction of ["in", "out", "both"] as const) {
    const client = knowingClient();
    for (let time = 2_300; time <= 9_000; time += 100) {
      client.runUntil(time, () => client.receiveKeepalive());
      if (direction !== "out") client.receive();
      if (direction !== "in") client.sendData();
    }
    assertEquals(client.done.length > 0, direction !== "both", `${direction}: ${client.done}`);
  }
});

Deno.test("client asks a server that left beats unanswered, and finds it missing after PeerTimeout", () => {
  const client = knowingClient();
  const { lastReceivedAt } = client;
  // An initiation less than REKEY_TIMEOUT ago is not followed by another.
  client.runUntil(20_000);
  assert(client.done.includes("5700 ask"), client.done.join());
  assertEquals(client.done.at(-1), `${lastReceivedAt + 6_000} down`);
  assertEquals(client.watch.nextAt(client), Infinity);
});

Deno.test("client does not count one keepalive that comes by chance as an answer to beats", () => {
  const client = new Watched("client");
  client.shakeHands();
  let beats = 0;
  client.runUntil(30_000, () => {
    if (++beats === 2) client.receiveKeepalive();
  });
  assertEquals([client.watch.isKnown, client.watch.isDown], [false, false]);
});

Deno.test("client does not take keepalives that follow no beat for answers", () => {
  const client = new Watched("client");
  client.shakeHands();
  for (let time = 1_000; time <= 20_000; time += 25) {
    client.runUntil(time);
    // Between beats, and late after each.
    if (time - client.lastSentAt > 1_001) client.receiveKeepalive();
  }
  assertEquals(client.watch.isKnown, false);
});

Deno.test("client asks after 3.5 s when data has no answer, and gives the answer 2.5 s", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.runUntil(10_000);
  client.done.length = 0;
  client.sendData();
  client.runUntil(30_000);
  const steps = client.done.filter((step) => !step.endsWith("beat"));
  assertEquals(steps, ["13500 ask", "16000 down"]);
});

Deno.test("client is satisfied when the handshake that asks is answered", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.runUntil(10_000);
  client.sendData();
  client.runUntil(13_600);
  assert(client.done.includes("13500 ask"));
  client.receive();
  client.runUntil(60_000);
  assertEquals(client.watch.isDown, false);
});

Deno.test("client asks no more often than REKEY_TIMEOUT allows", () => {
  const client = new Watched("client");
  client.now = 1_000;
  client.shakeHands();
  client.now = 1_100;
  client.sendData();
  client.runUntil(30_000);
  const steps = client.done.filter((step) => !step.endsWith("beat"));
  assertEquals(steps, ["6000 ask", "8500 down"]);
});

Deno.test("client counts the handshake of its own accord as the question", () => {
  const client = new Watched("client");
  client.shakeHands();
  client.runUntil(120_000);
  client.initiate();
  client.done.length = 0;
  client.runUntil(130_000);
  assertEquals(client.done.filter((step) => !step.endsWith("beat")), ["126000 down"]);
});

Deno.test("client forgets that beats were answered when the server was missing: another may have its place", () => {
  const client = knowingClient();
  client.runUntil(20_000);
  assert(client.watch.isDown);
  client.shakeHands();
  client.watch.renewed(client.now);
  assertEquals([client.watch.isDown, client.watch.isKnown], [false, false]);
  client.runUntil(40_000);
  assertEquals(client.watch.isDown, false);
});

Deno.test("server answers a keepalive unless it sent something within the last second", () => {
  const server = new Watched("server");
  server.now = 10_000;
  assertEquals(server.receiveKeepalive(), true);
  server.now = 10_999;
  assertEquals(server.receiveKeepalive(), false);
  server.now = 11_000;
  assertEquals(server.receiveKeepalive(), true);
});

Deno.test("server finds a client that was beating missing after PeerTimeout, and releases it after ReleaseAfter", () => {
  const server = new Watched("server", { releaseAfter: 9_000 });
  for (const time of [0, 2_000, 4_000]) {
    server.runUntil(time);
    server.receiveKeepalive();
  }
  server.runUntil(60_000);
  assertEquals(server.done, ["10000 down", "13000 release"]);
  assertEquals(server.watch.nextAt(server), Infinity);
});

Deno.test("server finds no fault with a stock client, whatever it leaves unsaid", () => {
  // PersistentKeepalive, the passive keepalive, and the two that end a handshake, one after the other.
  for (const times of [[0, 25_000, 50_000], [0, 10_000, 20_000], [0, 100, 25_000], [0]]) {
    const server = new Watched("server");
    for (const time of times) {
      server.runUntil(time);
      server.receiveKeepalive();
    }
    server.runUntil(1_000_000);
    assertEquals(server.done, [], times.join());
  }
});

Deno.test("server's client that comes back must beat again before it is missed again", () => {
  const server = new Watched("server");
  for (const time of [0, 2_000]) {
    server.runUntil(time);
    server.receiveKeepalive();
  }
  server.runUntil(10_000);
  assertEquals(server.done, ["8000 down"]);
  server.receive();
  server.runUntil(500_000);
  assertEquals(server.done, ["8000 down"]);
  assertEquals(server.watch.isDown, false);
});

Deno.test("an answer is never answered, and no beat; a keepalive that is none is no answer to a beat", () => {
  const server = new Watched("server");
  server.shakeHands();
  // However late they are, and in whichever order.
  for (let sent = 0; sent < 10; sent++) server.watch.keepaliveSent();
  for (let time = 2_000; time <= 20_000; time += 2_000) {
    server.runUntil(time);
    assertEquals(server.receiveKeepalive(true), false);
  }
  assertEquals(server.watch.isKnown, false);
  const client = new Watched("client");
  client.shakeHands();
  client.runUntil(9_000, () => client.receiveKeepalive(false));
  assertEquals(client.watch.isKnown, false);
});

Deno.test("what looks like an answer and follows no keepalive is an older client's beat, and is answered", () => {
  const server = new Watched("server");
  server.shakeHands();
  server.watch.keepaliveSent();
  assertEquals(server.receiveKeepalive(true), false);
  for (let time = 2_000; time <= 20_000; time += 2_000) {
    server.runUntil(time);
    assertEquals(server.receiveKeepalive(true), true);
  }
  assertEquals(server.watch.isKnown, true);
});
