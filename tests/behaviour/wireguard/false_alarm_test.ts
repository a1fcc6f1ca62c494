/**
 * Simulation of two watches over hundreds of hours of an idle tunnel on a lossy path: how often one calls the other
 * missing that is there, and how long it takes to notice one that is not. The watches are the real ones; the path and
 * the clock are not.
 */
import { type Traffic, Watch, WatchAction } from "../../../lib/core/wireguard/liveness/liveness.ts";
import { MARK_HIGH } from "../../../lib/core/wireguard/liveness/recognition.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { environment } from "../../support/permissions.ts";
import { Random } from "../../support/random.ts";
import { Schedule } from "../../support/time/schedule.ts";

const HOUR = 3_600_000;
const LOSS = 0.1;
/**
 * Simulated hours of each case: VPN_SIMULATION_HOURS for more. Without a false alarm in all of them together, 600, the
 * rate is under 0.005 an hour with 95 % confidence.
 */
const HOURS = Number(environment("VPN_SIMULATION_HOURS") ?? 75);

interface Message {
  readonly to: End;
  readonly isAnswer: boolean;
  readonly sequence: number;
  readonly interval: number;
}

class End implements Traffic {
  lastReceivedAt = 0;
  lastSentAt = 0;
  unansweredSince = Infinity;
  askedSince = Infinity;
  initiationSentAt = -Infinity;
  readonly watch: Watch;
  downs = 0;
  questions = 0;
  sent = 0;

  constructor(role: "client" | "server", peerTimeout: number, roundTrip: number) {
    this.watch = new Watch({ role, peerTimeout, releaseAfter: Infinity });
    const { recognition } = this.watch;
    this.watch.roundTrip.measured(roundTrip);
    recognition.sessionBegan(role === "client", 0);
    recognition.received(MARK_HIGH);
    recognition.controlReceived();
    recognition.helloReceived(HELLO, 0);
  }
}

const HELLO = {
  version: 1,
  role: null,
  number: 1,
  capabilities: 0,
  heartbeatInterval: 0,
  software: "",
  seenAt: null,
  mtu: 0,
  time: 0,
  instance: 0,
};

/** An idle tunnel. */
class Path {
  readonly ends: readonly [End, End];
  now = 0;
  isCut = false;
  readonly #random: Random;
  readonly #underWay = new Schedule<Message>();
  readonly #roundTrip: number;

  constructor(peerTimeout: number, roundTrip: number, seed: number) {
    this.#random = new Random(seed);
    this.#roundTrip = roundTrip;
    this.ends = [
      new End("client", peerTimeout, roundTrip),
      new End("server", peerTimeout, roundTrip),
    ];
    for (const [index, end] of this.ends.entries()) {
      this.ends[1 - index]!.watch.askedFor(end.watch.interval);
    }
  }

  run(until: number): void {
    const [client, server] = this.ends;
    while (this.now < until) {
      const next = Math.min(
        this.#underWay.nextAt,
        client.watch.nextAt(client),
        server.watch.nextAt(server),
      );
      this.now = Math.min(until, Math.max(this.now, next));
      for (;;) {
        const message = this.#underWay.take(this.now);
        if (message === undefined) break;
        this.#receive(message);
      }
      this.#act(client, server);
      this.#act(server, client);
    }
  }

  #act(end: End, other: End): void {
    switch (end.watch.next(end, this.now)) {
      case WatchAction.heartbeat:
        this.#send(end, other, false, end.watch.roundTrip.next(this.now));
        break;
      case WatchAction.ask:
        // Its answer may be lost as well; nothing here depends on it.
        end.questions++;
        end.initiationSentAt = this.now;
        end.askedSince = Math.min(end.askedSince, this.now);
        break;
      case WatchAction.down:
        end.downs++;
        break;
    }
  }

  #send(from: End, to: End, isAnswer: boolean, sequence: number): void {
    from.lastSentAt = this.now;
    from.sent++;
    if (this.isCut || this.#random.chance(LOSS)) return;
    const message = { to, isAnswer, sequence, interval: from.watch.interval };
    this.#underWay.add(this.now + this.#roundTrip / 2, message);
  }

  #receive({ to, isAnswer, sequence, interval }: Message): void {
    const [client, server] = this.ends;
    to.lastReceivedAt = this.now;
    to.askedSince = Infinity;
    if (to.watch.isDown) to.watch.renewed();
    to.watch.askedFor(interval);
    if (isAnswer) to.watch.roundTrip.answered(sequence, this.now);
    else this.#send(to, to === client ? server : client, true, sequence);
  }
}

const ROUND_TRIPS = [20, 320, 990, 3_000];

for (const peerTimeout of [2_000, 6_000]) {
  Deno.test(`nobody who is there is missed at PeerTimeout ${peerTimeout / 1000} s, 10 % loss and up to 3 s there and back`, () => {
    const told: string[] = [];
    for (const roundTrip of ROUND_TRIPS) {
      const path = new Path(peerTimeout, roundTrip, roundTrip + peerTimeout);
      path.run(HOURS * HOUR);
      const [client, server] = path.ends;
      told.push(
        `${roundTrip} ms: down ${client.downs} + ${server.downs} in ${HOURS} h, ` +
          `${Math.round((client.sent + server.sent) / HOURS / 60)} messages a minute, ` +
          `${(client.questions / HOURS).toFixed(1)} handshakes an hour`,
      );
    }
    assert(told.every((line) => line.includes("down 0 + 0")), told.join("\n"));
  });
}

Deno.test("who is gone is missed after PeerTimeout from the last that came, at any round trip and with loss", () => {
  for (const peerTimeout of [2_000, 6_000]) {
    for (const roundTrip of ROUND_TRIPS) {
      for (let seed = 0; seed < 50; seed++) {
        const path = new Path(peerTimeout, roundTrip, seed);
        path.run(20_000 + seed * 137);
        path.isCut = true;
        const cutAt = path.now;
        path.run(cutAt + roundTrip / 2 + peerTimeout + 25);
        assertEquals(path.ends.map(({ downs }) => downs), [1, 1], `${peerTimeout} ${roundTrip}`);
      }
    }
  }
});
