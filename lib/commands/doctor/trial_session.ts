/**
 * Trial session with a server: a real handshake by the real core, over a socket of its own, and probes of the path.
 *
 * It is for a tunnel that is not up. The server sends its answers to where a peer was last seen, so a session of a
 * running client with the same key would be cut off.
 */
import { DatagramSocket } from "../../../ffi/sockets/datagram_socket.ts";
import { ECONNREFUSED, EMSGSIZE, EPERM, SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { createBuiltinAead } from "../../core/noise/aead_builtin.ts";
import { builtinX25519, keyPair } from "../../core/noise/x25519.ts";
import { Device } from "../../core/wireguard/device.ts";
import type { Peer } from "../../core/wireguard/peer.ts";
import { SendQueue } from "../../core/transport/send_queue.ts";
import { Transport } from "../../core/transport/transport.ts";
import { formatAddress, type HostAddress, socketForm } from "../../core/wire/host_address.ts";
import type { SocketAddress } from "../../core/wire/socket_address.ts";
import { DropCounters, DropReason } from "../../core/wire/drop_reason.ts";
import { createMemory } from "../../core/wire/memory.ts";
import { VERSION } from "../../process/version.ts";
import { TRANSPORT_OVERHEAD } from "../../core/wire/messages.ts";
import { Refusals } from "../../dataplane/refusals.ts";
import { peerOptions } from "../../core/peers/peer_options.ts";

/** ms between initiations, as our client has it while it connects. */
const RETRY_INTERVAL = 700;
/** ms between two looks for a datagram. */
const POLL_INTERVAL = 5;
/** ms after which probes are sent again: one may be lost. */
const PROBE_INTERVAL = 300;
/** ms; longer than any trial takes. */
const PEER_TIMEOUT = 60_000;
const SEND_SLOTS = 16;
/** Room for any datagram, and for what decryption moves in front of it. */
const RECEIVE_OFFSET = 64;
const RECEIVE_SIZE = 65_536;
const SEND_OFFSET = RECEIVE_OFFSET + RECEIVE_SIZE;

export type HandshakeOutcome =
  | { readonly kind: "answered"; readonly time: number }
  /** ICMP says that nobody listens there. */
  | { readonly kind: "refused"; readonly reason: string }
  /** This host's own firewall lets nothing out. */
  | { readonly kind: "forbidden" }
  /** ICMP, or this host, says that there is no path. */
  | { readonly kind: "unreachable"; readonly reason: string }
  /** ICMP says that a firewall forbids it. */
  | { readonly kind: "prohibited"; readonly reason: string }
  /**
   * An answer came that only the holder of the server's key can give, but does not decrypt: the preshared keys differ.
   */
  | { readonly kind: "unfitting" }
  | { readonly kind: "silent" };

export class TrialSession implements Disposable {
  /** Whether a router has said that a probe was too long. */
  wasTold = false;
  readonly #socket: DatagramSocket;
  readonly #refusals: Refusals | null;
  readonly #memory;
  readonly #queue: SendQueue;
  readonly #drops = new DropCounters();
  readonly #device: Device;
  readonly #peer: Peer;
  readonly #receiveBuffer: Uint8Array<ArrayBuffer>;
  readonly #to: SocketAddress;

  /**
   * @param address of the server
   * @param mark SO_MARK of the datagrams; 0 for none
   * @param mtu bytes inside, at least those of the longest probe
   * @throws {SystemCallError} ENETUNREACH where there is no way, EPERM for a mark without CAP_NET_ADMIN
   */
  constructor(
    config: ClientConfig,
    { address, mark, mtu }: { address: HostAddress; mark: number; mtu: number },
  ) {
    this.#to = { address, port: config.server.endpoint.port };
    const to = { ...this.#to, address: socketForm(address) };
    this.#socket = DatagramSocket.connect(openLibc(), to, mark);
    this.#refusals = Refusals.open(this.#socket.port);
    const slotSize = SendQueue.slotSize(mtu + TRANSPORT_OVERHEAD);
    this.#memory = createMemory(SEND_OFFSET + SEND_SLOTS * slotSize);
    this.#receiveBuffer = this.#memory.bytes.subarray(RECEIVE_OFFSET, SEND_OFFSET);
    this.#queue = new SendQueue({ offset: SEND_OFFSET, slots: SEND_SLOTS, slotSize });
    this.#device = new Device({
      memory: this.#memory,
      sendQueue: this.#queue,
      identity: keyPair(config.interface.privateKey),
      x25519: builtinX25519,
      aead: createBuiltinAead(this.#memory),
      drops: this.#drops,
      mtu,
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      wallClock: Date.now,
      // So that a server of our kind is known, and only such a one is sent what is no packet.
      watch: { role: "client", peerTimeout: PEER_TIMEOUT, releaseAfter: PEER_TIMEOUT },
      software: `vpn-doctor/${VERSION}`,
    });
    const options = { ...peerOptions(config.server, address), persistentKeepalive: 0 };
    this.#peer = this.#device.addPeer(options, performance.now());
    this.#peer.timers.handshakeInterval = RETRY_INTERVAL;
  }

  /**
   * Shakes hands.
   *
   * @param timeout ms
   */
  async handshake(timeout: number): Promise<HandshakeOutcome> {
    const startedAt = performance.now();
    try {
      this.#device.initiate(this.#peer, startedAt);
      while (performance.now() - startedAt < timeout) {
        this.#exchange();
        if (this.#peer.current !== null) {
          return { kind: "answered", time: performance.now() - startedAt };
        }
        if (this.#drops.counts[DropReason.badHandshake]! > 0) return { kind: "unfitting" };
        await delay(POLL_INTERVAL);
      }
      return this.#refusal() ?? { kind: "silent" };
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      if (error.errno === EPERM) return { kind: "forbidden" };
      // The socket is told that there was ICMP, and not always which.
      const refusal = this.#refusal();
      if (refusal !== null) return refusal;
      return {
        kind: error.errno === ECONNREFUSED ? "refused" : "unreachable",
        reason: error.message,
      };
    }
  }

  /** What ICMP has said; null for nothing, or where it cannot be received. */
  #refusal(): HandshakeOutcome | null {
    const refusal = this.#refusals?.latest(this.#to) ?? null;
    if (refusal === null) return null;
    const { kind, words, from } = refusal;
    return { kind, reason: `${formatAddress(from)} says so (ICMP ${words})` };
  }

  /**
   * Sends probes with DF; a server of our kind answers those that arrive.
   *
   * @param lengths bytes inside
   * @param timeout ms
   * @returns the length of the longest that was answered; 0 for none
   */
  async probe(lengths: readonly number[], timeout: number): Promise<number> {
    this.#socket.dontFragment();
    const longest = Math.max(...lengths);
    const startedAt = performance.now();
    let sentAt = -Infinity;
    while (performance.now() - startedAt < timeout && this.#peer.provenMtu < longest) {
      const now = performance.now();
      if (now - sentAt >= PROBE_INTERVAL) {
        // None is sent before the server is known.
        for (const length of lengths) {
          if (this.#device.sendProbe(this.#peer, length, now)) sentAt = now;
        }
      }
      this.#exchange();
      await delay(POLL_INTERVAL);
    }
    return this.#peer.provenMtu;
  }

  /** Tells the server that this session is over, so that it holds nothing for it. */
  [Symbol.dispose](): void {
    try {
      if (this.#peer.current !== null) {
        this.#device.sayGoodbye(performance.now());
        this.#exchange();
      }
    } catch (error) {
      // The way is gone: then there is nobody to tell.
      if (!(error instanceof SystemCallError)) throw error;
    } finally {
      this.#device.removePeer(this.#peer);
      this.#refusals?.[Symbol.dispose]();
      this.#socket[Symbol.dispose]();
    }
  }

  /** Sends what is to be sent and takes what has come. */
  #exchange(): void {
    this.#device.poll(performance.now());
    const queue = this.#queue;
    for (let i = queue.head; i < queue.tail; i++) {
      const at = queue.offsets[i]!;
      this.#unlessTooLong(() =>
        this.#socket.send(this.#memory.bytes.subarray(at, at + queue.lengths[i]!))
      );
    }
    queue.sentUpTo(queue.tail);
    for (;;) {
      const length = this.#unlessTooLong(() => this.#socket.receive(this.#receiveBuffer)) ?? 0;
      if (length <= 0) return;
      const path = this.#queue.paths.internEnd(this.#to, Transport.udp);
      this.#device.receive(RECEIVE_OFFSET, length, path, performance.now());
    }
  }

  /**
   * What does not fit the path is a finding, not a failure; null then. What a router said of an earlier datagram is
   * told but once, so a second attempt shows whether this one is too long, too.
   */
  #unlessTooLong<Result>(call: () => Result): Result | null {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        return call();
      } catch (error) {
        if (!(error instanceof SystemCallError) || error.errno !== EMSGSIZE) throw error;
        this.wasTold = true;
      }
    }
    return null;
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
