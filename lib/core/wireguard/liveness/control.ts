/**
 * Control: what a device does with messages inside a session that are no packets (lib/core/wireguard/EXTENSIONS.md), in
 * the order in which they are checked: goodbye, probes of the path, hellos, heartbeats. Answers are never answered,
 * and each peer has a share of answers, so that a peer which asks without end costs no more than another.
 */
import type { Memory } from "../../wire/memory.ts";
import {
  ControlKind,
  controlKind,
  type Heartbeat,
  readHeartbeat,
  writeHeartbeat,
} from "./control_message.ts";
import type { DeviceEventKind } from "../device_events.ts";
import type { Paths } from "../../transport/paths.ts";
import { isGoodbye } from "./goodbye.ts";
import { CAPABILITIES, type Hello, HELLO_VERSION, readHello, writeHello } from "./hello.ts";
import type { PeerSession } from "../session/peer_session.ts";
import type { Watch, WatchOptions } from "./liveness.ts";
import { answeredLength, isProbe, writeAnswer } from "../path/path_mtu.ts";
import type { Peer } from "../peer.ts";

export interface ControlOptions {
  readonly memory: Memory;
  readonly paths: Paths;
  /** Null for a device that keeps no watch: any WireGuard, but for probes and goodbyes. */
  readonly watch: WatchOptions | null;
  /** Name and version of the program. */
  readonly software: string;
  /** Of this start of the program, see `Hello`. */
  readonly instance: number;
  /** Unix ms. */
  readonly wallClock: () => number;
  /** Seals what `write` puts where it is told, and sends it; false where that cannot be. */
  readonly send: (
    peer: Peer,
    write: (at: number) => number,
    now: number,
    path?: number,
  ) => boolean;
  readonly release: (peer: Peer) => void;
  readonly report: (kind: DeviceEventKind, peer: Peer) => void;
}

export class Control {
  readonly #options: ControlOptions;

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  /**
   * Takes a message whose first byte is zero.
   *
   * @param path by which it came
   * @returns false for what is none of ours
   */
  receive(
    peer: Peer,
    session: PeerSession,
    at: number,
    length: number,
    path: number,
    now: number,
  ): boolean {
    const { paths, memory: { view } } = this.#options;
    const kind = controlKind(view, at, length);
    if (kind === ControlKind.unframed) {
      return this.#receiveUnframed(peer, session, at, length, path, now);
    }
    const { watch } = peer;
    if (watch === null) return false;
    switch (kind) {
      case ControlKind.hello:
      case ControlKind.helloAnswer: {
        const hello = readHello(view, at, length);
        if (hello === null) return true;
        if (kind === ControlKind.hello) this.#answerHello(peer, hello, now);
        else if (!watch.recognition.helloAnswered(hello.number)) return true;
        this.#takeHello(peer, watch, hello);
        // A late one may be of the program that ran there before.
        if (
          peer.sendsUnder(session) &&
          peer.sharedKey.greeted(hello.instance, paths.socketAddress(path), now)
        ) {
          this.#options.report("key-shared", peer);
        }
        return true;
      }
      case ControlKind.heartbeat:
      case ControlKind.heartbeatAnswer: {
        const heartbeat = readHeartbeat(view, at, length);
        if (heartbeat === null) return true;
        this.#recognize(peer, watch);
        watch.askedFor(heartbeat.interval);
        if (kind === ControlKind.heartbeat) this.#answerHeartbeat(peer, watch, heartbeat, now);
        else watch.roundTrip.answered(heartbeat.sequence, now);
        return true;
      }
      default:
        // Of a later version.
        return true;
    }
  }

  #receiveUnframed(
    peer: Peer,
    session: PeerSession,
    at: number,
    length: number,
    path: number,
    now: number,
  ): boolean {
    const { memory, paths, watch, send, report } = this.#options;
    const { view } = memory;
    if (isGoodbye(view, at, length)) {
      // A late one ends the session that it was said in, and not the one that a new start of the same peer has opened
      // since.
      if (!peer.sendsUnder(session) || peer.next !== null) return true;
      // A client's server is asked for again, by its name; what a client held is free at once.
      if (watch?.role === "server") this.#options.release(peer);
      else if (watch?.role === "client") report("down", peer);
      return true;
    }
    if (isProbe(view, at, length)) {
      if (peer.replies.take(now)) send(peer, (to) => writeAnswer(memory, to, length), now, path);
      return true;
    }
    const proven = answeredLength(view, at, length);
    if (proven > 0 && paths.transport(path) !== peer.endpoint.transport) {
      report("transport-works", peer);
      return true;
    }
    if (proven > peer.provenMtu) peer.provenMtu = proven;
    return proven > 0;
  }

  /** Sends a hello. */
  sendHello(peer: Peer, now: number): void {
    if (peer.watch === null) return;
    const number = peer.watch.recognition.helloSent(now);
    this.#say(peer, peer.watch, ControlKind.hello, number, now);
  }

  #answerHello(peer: Peer, { number }: Hello, now: number): void {
    if (!peer.replies.take(now)) return;
    this.#say(peer, peer.watch!, ControlKind.helloAnswer, number, now);
  }

  #say(
    peer: Peer,
    watch: Watch,
    kind: typeof ControlKind.hello | typeof ControlKind.helloAnswer,
    number: number,
    now: number,
  ): void {
    const { memory, software, wallClock, instance, send } = this.#options;
    const { address, port } = peer.endpoint;
    const hello: Hello = {
      version: HELLO_VERSION,
      role: this.#options.watch!.role,
      number,
      capabilities: CAPABILITIES,
      heartbeatInterval: Math.round(watch.interval),
      software,
      seenAt: { address, port },
      mtu: peer.mtu,
      time: wallClock(),
      instance,
    };
    send(peer, (at) => writeHello(memory, at, kind, hello), now);
  }

  #takeHello(peer: Peer, watch: Watch, hello: Hello): void {
    this.#recognize(peer, watch);
    watch.askedFor(hello.heartbeatInterval);
    const travelled = (watch.roundTrip.smoothed ?? 0) / 2;
    const offset = hello.time === 0 ? 0 : hello.time + travelled - this.#options.wallClock();
    watch.recognition.helloReceived(hello, offset);
    peer.timers.watchBy(watch.nextAt(peer));
  }

  #recognize(peer: Peer, watch: Watch): void {
    if (!watch.recognition.controlReceived()) return;
    this.#options.report("recognized", peer);
    peer.timers.watchBy(watch.nextAt(peer));
  }

  /**
   * Sends a heartbeat, or a keepalive for as long as another program may run there: it would count a heartbeat as an
   * error.
   */
  sendHeartbeat(peer: Peer, now: number): void {
    const { watch } = peer;
    if (watch === null) return;
    if (!watch.recognition.hasReceived) {
      this.#options.send(peer, () => 0, now);
      return;
    }
    this.#sayHeartbeat(peer, watch, ControlKind.heartbeat, watch.roundTrip.next(now), now);
  }

  #answerHeartbeat(peer: Peer, watch: Watch, { sequence }: Heartbeat, now: number): void {
    if (!peer.replies.take(now)) return;
    this.#sayHeartbeat(peer, watch, ControlKind.heartbeatAnswer, sequence, now);
  }

  #sayHeartbeat(
    peer: Peer,
    watch: Watch,
    kind: typeof ControlKind.heartbeat | typeof ControlKind.heartbeatAnswer,
    sequence: number,
    now: number,
  ): void {
    const { memory, send } = this.#options;
    const heartbeat = { sequence, interval: Math.round(watch.interval) };
    send(peer, (at) => writeHeartbeat(memory, at, kind, heartbeat), now);
  }
}
