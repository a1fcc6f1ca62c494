/**
 * Peer session: a keypair, and what the device knows besides of the handshake that it came from. Packets need the
 * keypair alone (transport_messages.ts); this is the half that goes with handshakes and timers.
 */
import type { SocketAddress } from "../../wire/socket_address.ts";
import { Keypair, type KeypairOptions } from "./keypair.ts";

export interface PeerSessionOptions extends KeypairOptions {
  /** Where our message of the handshake went: who has the key received it there. */
  readonly sentTo: SocketAddress;
  /** TAI64N of the initiation that it comes from, 12 bytes. */
  readonly timestamp: Uint8Array;
}

export class PeerSession extends Keypair {
  readonly sentTo: SocketAddress;
  readonly timestamp: Uint8Array;
  /** Whether a packet has come under this key. */
  hasReceived = false;
  /** Whether the other end began a session at the same time, and may use that one. */
  isCrossed = false;
  /** Whether the responder may have put the session of a later initiation of ours in its place by now. */
  isTentative = false;

  constructor(options: PeerSessionOptions) {
    super(options);
    this.sentTo = options.sentTo;
    this.timestamp = options.timestamp;
  }
}
