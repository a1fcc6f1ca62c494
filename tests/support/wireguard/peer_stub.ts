/** Peers and sessions without a device around them, for tests of the tables that hold them. */
import type { AeadKey } from "../../../lib/core/noise/aead.ts";
import { CookieGenerator } from "../../../lib/core/noise/cookie.ts";
import type { Keypair } from "../../../lib/core/wireguard/session/keypair.ts";
import { PeerSession } from "../../../lib/core/wireguard/session/peer_session.ts";
import type { Watch } from "../../../lib/core/wireguard/liveness/liveness.ts";
import { Paths } from "../../../lib/core/transport/paths.ts";
import { Peer } from "../../../lib/core/wireguard/peer.ts";
import { Deadline, Timers } from "../../../lib/core/wireguard/timers.ts";

/** A peer whose timers nobody asks, watched or not. */
export function stubPeer(
  watch: Watch | null = null,
  index = 1,
  paths = new Paths({ holders: 4, unheld: 4 }),
): Peer {
  const publicKey = new Uint8Array(32).fill(9);
  return new Peer({ publicKey, allowedIps: [] }, {
    index,
    paths,
    timers: new Timers(new Deadline(), () => 0),
    cookies: new CookieGenerator(publicKey),
    staticSecret: null,
    mtu: 1420,
    watch,
  });
}

/** A key that only knows whether it was destroyed. */
export class StubKey implements AeadKey {
  isDestroyed = false;

  prefetch(): number {
    return 0;
  }

  seal(): boolean {
    return !this.isDestroyed;
  }

  open(): boolean {
    return !this.isDestroyed;
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

/** A session of `peer` with this index. */
export function stubSession(
  peer: Peer,
  localIndex: number,
  { isInitiator = true, createdAt = 0 }: { isInitiator?: boolean; createdAt?: number } = {},
): PeerSession {
  return new PeerSession({
    peerIndex: peer.index,
    sending: new StubKey(),
    receiving: new StubKey(),
    isInitiator,
    localIndex,
    remoteIndex: 1,
    createdAt,
    sentTo: { address: 0, port: 0 },
    timestamp: new Uint8Array(12),
  });
}

/** Whether both keys of a session are destroyed. */
export function isDestroyed({ sending, receiving }: Keypair): boolean {
  return (sending as StubKey).isDestroyed && (receiving as StubKey).isDestroyed;
}
