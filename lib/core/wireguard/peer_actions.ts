/** Peer actions: what timers and the watch lead to, by those halves of the device that do it. */
import { Transport } from "../transport/transport.ts";
import type { DeviceEventKind } from "./device_events.ts";
import type { PeerActions } from "./due_timers.ts";
import type { HandshakeDriver } from "./handshake/handshake_driver.ts";
import type { Control } from "./liveness/control.ts";
import type { MessageSender } from "./message_sender.ts";
import type { Peer } from "./peer.ts";
import type { StagedPackets } from "./session/staged_packets.ts";

export interface PeerActionsOptions {
  readonly staged: StagedPackets;
  readonly sender: MessageSender;
  readonly handshakes: HandshakeDriver;
  readonly control: Control;
  /** Whether peers are answered from this address of ours (`Paths.sourceDigest()`) whatever routes say. */
  readonly isLastingSource: (source: number) => boolean;
  readonly report: (kind: DeviceEventKind, peer: Peer) => void;
}

export function peerActions(
  { staged, sender, handshakes, control, isLastingSource, report }: PeerActionsOptions,
): PeerActions {
  return {
    sendKeepalive: (peer, now) => sender.sendKeepalive(peer, now),
    sendHeartbeat: (peer, now) => control.sendHeartbeat(peer, now),
    sendHello: (peer, now) => control.sendHello(peer, now),
    initiate: (peer, now) => handshakes.initiate(peer, now),
    sendInitiation: (peer, now) => handshakes.sendInitiation(peer, now),
    abandonHandshake: (peer) => {
      handshakes.drop(peer);
      staged.drop(peer);
    },
    zeroKeys: (peer) => handshakes.zeroKeys(peer),
    forgetSource: ({ endpoint }) => {
      if (!isLastingSource(endpoint.sourceDigest)) endpoint.forgetSource();
    },
    release: (peer) => {
      staged.drop(peer);
      handshakes.zeroKeys(peer);
      peer.forgetEndpoint();
      peer.watch?.forget();
      // Only a server releases, and it looks for nobody by another transport.
      peer.endpoint.setTransport(Transport.udp);
      report("released", peer);
    },
    report,
  };
}
