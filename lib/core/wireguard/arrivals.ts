/** Arrivals: what an authenticated message says of its peer, that it is alive and where it is (roaming). */
import type { Paths } from "../transport/paths.ts";
import type { DeviceEventKind } from "./device_events.ts";
import type { Peer } from "./peer.ts";
import { NEVER } from "./timers.ts";

export interface ArrivalsOptions {
  readonly paths: Paths;
  readonly report: (kind: DeviceEventKind, peer: Peer) => void;
  /** Sends what waits for the peer, which has been found where it had been before. */
  readonly sendStaged: (peer: Peer, now: number) => void;
}

export class Arrivals {
  readonly #options: ArrivalsOptions;

  constructor(options: ArrivalsOptions) {
    this.#options = options;
  }

  /** A message came that shows a session: the peer is alive. */
  markAlive(peer: Peer, now: number): void {
    peer.seen(now);
    peer.unansweredSince = NEVER;
    peer.askedSince = NEVER;
    peer.timers.authenticatedReceived(now);
    const { watch } = peer;
    if (watch === null) return;
    if (watch.isDown) {
      watch.renewed();
      this.#options.report("up", peer);
      // Of a peer that was down, the watch looked forward to its release.
      peer.timers.watchBy(watch.nextAt(peer));
    }
    // Of any other program nothing is awaited because it has sent something, and each packet would ask in vain.
    if (peer.timers.watchAt === NEVER && watch.isOurs) peer.timers.watchBy(watch.nextAt(peer));
  }

  /** An authenticated message of `length` bytes came by this path: the peer is there now. */
  locate(peer: Peer, length: number, path: number, now: number): void {
    if (path !== peer.endpoint.path) this.#moved(peer, path, now);
    if (!peer.proof.isProven) peer.proof.received(length);
  }

  #moved(peer: Peer, path: number, now: number): void {
    const { paths, report, sendStaged } = this.#options;
    const { endpoint, proof } = peer;
    const isSame = paths.isSameEnd(path, endpoint.path) &&
      paths.transport(path) === endpoint.transport;
    endpoint.moveTo(path);
    // Written to another address of ours, which answers come from now; the peer is where it was.
    if (isSame) return;
    proof.moved(endpoint, peer.watch?.roundTrip.smoothed ?? 0);
    report("endpoint-changed", peer);
    // Back where it was proven; else it is asked, even if no packet comes at a time when it may be.
    if (proof.isProven) sendStaged(peer, now);
    else peer.timers.handshakeBy(now + proof.repeatAfter);
  }
}
