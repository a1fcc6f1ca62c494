/** What a peer's timers lead to when they are due; what is done then is the device's. */
import { MAX_HANDSHAKE_ATTEMPTS } from "./constants.ts";
import type { DeviceEventKind } from "./device_events.ts";
import { WatchAction } from "./liveness/liveness.ts";
import type { Peer } from "./peer.ts";
import { NEVER } from "./timers.ts";

/** What a device does for a peer. */
export interface PeerActions {
  sendKeepalive(peer: Peer, now: number): void;
  sendHeartbeat(peer: Peer, now: number): void;
  sendHello(peer: Peer, now: number): void;
  /** Asks for a handshake, unless one was asked for just now. */
  initiate(peer: Peer, now: number): void;
  /** Goes on with a handshake. */
  sendInitiation(peer: Peer, now: number): void;
  /** Ends a handshake that had no answer, and gives up on what waited for it. */
  abandonHandshake(peer: Peer): void;
  zeroKeys(peer: Peer): void;
  /** Leaves it to the kernel again by which address of ours the peer is reached. */
  forgetSource(peer: Peer): void;
  /** Takes from a peer that is gone what it holds. */
  release(peer: Peer): void;
  report(kind: DeviceEventKind, peer: Peer): void;
}

/** Does what is due for a peer. */
export function runTimers(peer: Peer, actions: PeerActions, now: number): void {
  const { timers } = peer;
  if (now < timers.earliest()) return;
  peer.endSteady();
  if (now >= timers.retransmitHandshakeAt) retransmitHandshake(peer, actions, now);
  if (now >= timers.keepaliveAt) {
    actions.sendKeepalive(peer, now);
    timers.keepaliveFired(now);
  }
  if (now >= timers.newHandshakeAt) {
    timers.newHandshakeAt = NEVER;
    // The path may have changed under us; the kernel picks the source again.
    actions.forgetSource(peer);
    actions.initiate(peer, now);
  }
  if (now >= timers.zeroKeysAt) {
    timers.zeroKeysAt = NEVER;
    actions.zeroKeys(peer);
    actions.report("keys-zeroed", peer);
  }
  if (now >= timers.persistentKeepaliveAt) {
    // Armed again whatever comes of this one, or an unanswered handshake would end the keepalives for good.
    timers.setPersistentInterval(timers.persistentInterval, now + timers.persistentInterval);
    actions.sendKeepalive(peer, now);
  }
  if (now >= timers.watchAt) watchOver(peer, actions, now);
}

function retransmitHandshake(peer: Peer, actions: PeerActions, now: number): void {
  const { timers } = peer;
  if (timers.handshakeAttempts >= MAX_HANDSHAKE_ATTEMPTS) {
    timers.handshakeAbandoned(now);
    actions.abandonHandshake(peer);
    actions.report("handshake-abandoned", peer);
    return;
  }
  timers.handshakeAttempts++;
  actions.forgetSource(peer);
  timers.retransmitHandshakeAt = NEVER;
  actions.sendInitiation(peer, now);
}

function watchOver(peer: Peer, actions: PeerActions, now: number): void {
  const { timers, watch } = peer;
  timers.watchAt = NEVER;
  if (watch === null) return;
  switch (watch.next(peer, now)) {
    case WatchAction.heartbeat:
      actions.sendHeartbeat(peer, now);
      break;
    case WatchAction.hello:
      actions.sendHello(peer, now);
      break;
    case WatchAction.confirm:
      actions.sendKeepalive(peer, now);
      break;
    case WatchAction.verdict:
      actions.report("recognized", peer);
      break;
    case WatchAction.ask:
      actions.initiate(peer, now);
      break;
    case WatchAction.down:
      actions.report("down", peer);
      break;
    case WatchAction.release:
      actions.release(peer);
      break;
  }
  // Past times are no mistake: the next round of timers finds them due.
  timers.watchBy(watch.nextAt(peer));
}
