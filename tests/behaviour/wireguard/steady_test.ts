/**
 * Tests of steady sessions against the obvious: whatever happens to two ends in random order, they send, report, count
 * and wait for the same as two whose sessions are never steady, at the same times.
 */
import { Transport } from "../../../lib/core/transport/transport.ts";
import type { WatchOptions } from "../../../lib/core/wireguard/liveness/liveness.ts";
import type { Peer } from "../../../lib/core/wireguard/peer.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { PERFECT_LINK } from "../../support/packets/memory_link.ts";
import { ipv4 } from "../../support/packets/simulated_device.ts";
import {
  CLIENT_INNER,
  connectedPair,
  downward,
  type TunnelPair,
  upward,
} from "../../support/packets/tunnel_pair.ts";
import { Random } from "../../support/random.ts";
import { SEED } from "../../run/seed.ts";

const WORLDS = 30;
const ACTIONS = 150;
/** ms. */
const SLEEPS = [9_000, 60_000, 164_900, 179_900, 3_600_000, 86_400_000] as const;
const TRANSPORTS = [Transport.udp, Transport.fakeTcp] as const;

const watch = (role: WatchOptions["role"]): WatchOptions => ({
  role,
  peerTimeout: 6_000,
  releaseAfter: 30_000,
});

/** Two ends, in whose log is all that shows outside. */
class World {
  readonly pair: TunnelPair;
  readonly log: string[] = [];
  /** The client, as the gateway knows it by now. */
  #toClient: Peer;
  readonly #isNeverSteady: boolean;
  /** Messages that were on their way once, to be played again. */
  readonly #kept: Uint8Array<ArrayBuffer>[] = [];
  /** Moments at which something was left to be done. */
  steadyMoments = 0;

  constructor(seed: number, isNeverSteady: boolean) {
    const random = new Random(seed);
    const isWatched = random.chance(0.5);
    const persistentKeepalive = random.chance(0.5) ? 7 : 0;
    this.pair = connectedPair({
      seed,
      toGateway: { persistentKeepalive },
      toClient: { persistentKeepalive: random.chance(0.3) ? 5 : 0 },
      ...(isWatched && { clientWatch: watch("client"), gatewayWatch: watch("server") }),
    });
    const { simulation } = this.pair;
    this.#toClient = this.pair.toClient;
    this.#isNeverSteady = isNeverSteady;
    // Without a hold-up of some fraction of a ms: times are compared for being the same.
    simulation.link.conditions = { ...PERFECT_LINK, loss: 0.02, duplication: 0.05 };
    simulation.onStep = () => {
      if (this.peers.some(({ steady }) => steady !== null && steady.newBytes > 0)) {
        this.steadyMoments++;
      }
    };
    simulation.onDatagram = ({ bytes, ...to }, { name }) => {
      const place = `${to.destinationAddress}:${to.destinationPort} ${to.transport}`;
      this.log.push(`${simulation.now} ${name} ${bytes[0]} ${bytes.length} ${place}`);
      if (bytes[0] === 4 && this.#kept.length < 20) this.#kept.push(bytes.slice());
    };
    this.#settle();
  }

  #settle(): void {
    if (this.#isNeverSteady) { for (const peer of this.peers) peer.beginSteady = () => {}; }
  }

  get peers(): Peer[] {
    return [this.#toClient, this.pair.toGateway];
  }

  /** Does one thing, the same in each world of a seed. */
  act(random: Random): void {
    const { client, gateway, simulation, toGateway } = this.pair;
    const toClient = this.#toClient;
    const now = () => simulation.now;
    const times = 1 + random.below(4);
    switch (random.below(19)) {
      case 0:
      case 1:
      case 2:
      case 3:
        for (let i = 0; i < times; i++) client.send(upward(`up ${i}`));
        break;
      case 4:
        for (let i = 0; i < times; i++) gateway.send(downward(`down ${i}`));
        break;
      case 5:
        client.device.sendKeepalive(toGateway, now());
        client.poll();
        break;
      case 6:
        client.device.sendProbe(toGateway, 1200, now());
        client.poll();
        break;
      case 7:
        [client.address, client.port] = [
          ipv4(`203.0.113.${1 + random.below(3)}`),
          40_000 + random.below(2),
        ];
        break;
      case 8:
        client.initiate(toGateway);
        break;
      case 9:
        gateway.initiate(toClient);
        break;
      case 10: {
        const interval = random.below(3) * 4;
        const publicKey = client.identity.public;
        const allowedIps = [{ address: ipv4(CLIENT_INNER), prefixLength: 32 }];
        const options = { publicKey, allowedIps, persistentKeepalive: interval };
        gateway.device.updatePeer(toClient, options, now());
        break;
      }
      case 11:
        toClient.setQuota(
          random.chance(0.5) ? null : {
            end: toClient.receivedBytes + toClient.sentBytes + random.below(1000),
            step: 200,
            rate: null,
          },
        );
        break;
      case 12: {
        const bytes = this.#kept[random.below(this.#kept.length)];
        if (bytes !== undefined) {
          gateway.receive(bytes.slice(), { address: ipv4("203.0.113.9"), port: 9 });
        }
        break;
      }
      case 13:
        if (random.chance(0.3)) gateway.device.forgetSource(toClient.endpoint.sourceDigest);
        break;
      case 14:
        if (random.chance(0.2)) client.device.renew(now());
        client.poll();
        break;
      case 15:
        if (random.chance(0.1)) client.device.sayGoodbye(now());
        client.poll();
        break;
      case 16:
        // The machine sleeps: what arrives does so before any timer has run.
        client.send(upward("last"));
        gateway.send(downward("last"));
        simulation.clock.advanceTo(now() + random.pick(SLEEPS));
        break;
      case 17:
        client.device.setTransport(toGateway, random.pick(TRANSPORTS));
        client.initiate(toGateway);
        break;
      case 18:
        gateway.device.removePeer(toClient);
        gateway.poll();
        this.#toClient = gateway.addPeer(client, [`${CLIENT_INNER}/32`]);
        this.#settle();
        break;
    }
    simulation.run([0, 5, 20, 100, 1_000, 5_000, 12_000, 30_000, 130_000][random.below(9)]!);
  }

  /** What can be seen of both, without anything that would end what is steady. */
  get seen(): unknown {
    const { client, gateway } = this.pair;
    return {
      peers: this.peers.map((peer) => ({
        receivedBytes: peer.receivedBytes,
        sentBytes: peer.sentBytes,
        lastReceivedAt: peer.lastReceivedAt,
        lastSentAt: peer.lastSentAt,
        unansweredSince: peer.unansweredSince,
        askedSince: peer.askedSince,
        endpoint: [peer.endpoint.address, peer.endpoint.port],
      })),
      events: [client, gateway].map(({ events }) => events.map(({ kind }) => kind)),
      drops: [client, gateway].map((device) => device.dropReport()),
      written: [client, gateway].map(({ tun }) => tun.written.length),
    };
  }

  /** What nobody sees before something leads to it. */
  get hidden(): unknown {
    return this.peers.map((peer) => {
      peer.endSteady();
      const { timers, renewalAsked } = peer;
      return { timers: { ...timers }, renewalAsked };
    });
  }
}

Deno.test("steady or not, whatever happens, both ends do the same at the same times", () => {
  let steadyMoments = 0;
  for (let number = 0; number < WORLDS; number++) {
    const seed = (SEED + number) | 0;
    const [steady, plain] = [new World(seed, false), new World(seed, true)];
    const [one, other] = [new Random(seed), new Random(seed)];
    const last = new Random(seed ^ 1);
    for (let action = 0; action < ACTIONS; action++) {
      steady.act(one);
      plain.act(other);
      const what = `VPN_SEED=${SEED}, world ${number}, action ${action}`;
      assertEquals(steady.log.splice(0), plain.log.splice(0), what);
      assertEquals(steady.seen, plain.seen, what);
      if (last.chance(0.1)) assertEquals(steady.hidden, plain.hidden, what);
    }
    steadyMoments += steady.steadyMoments;
  }
  // Else nothing has been compared.
  assert(steadyMoments > 10 * WORLDS, `${steadyMoments} moments`);
});
