/** Device options: what a device is made of, and how it is to be. */
import type { AeadProvider } from "../noise/aead.ts";
import type { RandomBytes } from "../noise/cookie.ts";
import type { KeyPair, X25519Provider } from "../noise/key_pair.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import type { DropCounters } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import type { Elsewhere } from "./elsewhere.ts";
import type { WatchOptions } from "./liveness/liveness.ts";
import type { Sharing } from "./workers/sharing.ts";

export interface DeviceOptions {
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
  readonly identity: KeyPair;
  /** Of the pairs that each handshake has for itself. */
  readonly x25519: X25519Provider;
  readonly aead: AeadProvider;
  readonly drops: DropCounters;
  /** Inner MTU in bytes; that of a peer, whose path may be narrower, begins with it. */
  readonly mtu: number;
  readonly random: RandomBytes;
  /** Unix ms. */
  readonly wallClock: () => number;
  /**
   * Whether a peer's transport follows its packets as its address does. A server's does; a client has chosen, and two
   * transports' packets overtake each other.
   */
  readonly followsTransport?: boolean;
  /** Whether allowed IPs of IPv6 count; not if left out. */
  readonly carriesIpv6?: boolean;
  /**
   * How peers are watched; left out, they are not, and nothing tells this from plain WireGuard but its answers to
   * probes.
   */
  readonly watch?: WatchOptions;
  /** Name and version of the program, for the peers that ask. */
  readonly software?: string;
  /** Where other gateways answer under this key as well. */
  readonly elsewhere?: Elsewhere;
  /** Where packet workers open and seal packets in this thread's place, and where what they hand over is put. */
  readonly shared?: {
    readonly sharing: Sharing;
    readonly scratch: { readonly offset: number; readonly length: number };
  };
}
