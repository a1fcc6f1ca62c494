/**
 * Peer table: a device's peers by public key and by index, their allowed IPs, and how a configuration makes and changes
 * them.
 *
 * An index is a small integer from 1 on; 0 names nobody. It is what results carry in place of a peer. One that has come
 * free is used again last, so that a stale index, held for a moment, finds no peer rather than another one.
 */
import { CookieGenerator, type RandomBytes } from "../noise/cookie.ts";
import type { KeyPair } from "../noise/key_pair.ts";
import { MAX_PEERS } from "../limits/max_peers.ts";
import type { Paths } from "../transport/paths.ts";
import { Transport } from "../transport/transport.ts";
import { KEY_SIZE } from "../wire/messages.ts";
import { AllowedIps } from "./allowed_ips.ts";
import { AllowedIps6 } from "./allowed_ips6.ts";
import { Watch, type WatchOptions } from "./liveness/liveness.ts";
import { SharedKey } from "./liveness/shared_key.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import { Successor, type SuccessorOptions } from "./successor.ts";
import { Deadline, NEVER, Timers } from "./timers.ts";
import type { Sharing } from "./workers/sharing.ts";

/**
 * Peers of neighbouring indices are looked at together when a timer of one of them is due: of thousands, some timer is
 * due at any time, and to look at all of them for it would take more than what is due.
 */
const GROUP_BITS = 5;

export interface PeerTableOptions {
  readonly identity: KeyPair;
  /** Inner MTU in bytes; that of a peer, whose path may be narrower, begins with it. */
  readonly mtu: number;
  readonly random: RandomBytes;
  readonly paths: Paths;
  /** Null for a device that watches no peers. */
  readonly watch: WatchOptions | null;
  readonly followsTransport: boolean;
  /** Whether allowed IPs of IPv6 count; not if left out. */
  readonly carriesIpv6?: boolean;
  /** Null where this thread alone has the packets. */
  readonly sharing?: Sharing | null;
  /** The most peers; `MAX_PEERS` if left out. */
  readonly capacity?: number;
}

export class PeerTable {
  readonly allowedIps: AllowedIps<Peer> = new AllowedIps();
  readonly allowedIps6: AllowedIps6<Peer> = new AllowedIps6();
  /** The earliest time at which a timer of any peer is due, and of those of each group, by index. */
  readonly deadline: Deadline = new Deadline();
  readonly #groups: Deadline[] = [];
  readonly #options: PeerTableOptions;
  readonly #byKey = new Map<string, Peer>();
  readonly #byFormerKey = new Map<string, Peer>();
  readonly #successors = new Map<string, Successor>();
  readonly #byIndex: (Peer | null)[] = [null];
  readonly #free: number[] = [];
  readonly #capacity: number;

  constructor(options: PeerTableOptions) {
    this.#options = options;
    this.#capacity = options.capacity ?? MAX_PEERS;
  }

  /** All peers, in the order in which they were added. */
  [Symbol.iterator](): IterableIterator<Peer> {
    return this.#byKey.values();
  }

  /** The peer with this 32-byte public key. */
  byKey(publicKey: Uint8Array): Peer | undefined {
    return this.#byKey.get(textOf(publicKey));
  }

  /** Who may begin handshakes with this key: the peer that has it, or what is to take the place of a peer's. */
  party(publicKey: Uint8Array): Peer | Successor | undefined {
    const text = textOf(publicKey);
    return this.#byKey.get(text) ?? this.#successors.get(text);
  }

  /** The peer whose key this was, so far as the configuration knows. */
  byFormerKey(publicKey: Uint8Array): Peer | undefined {
    return this.#byFormerKey.get(textOf(publicKey));
  }

  /** The peer whose key this is to be. */
  bySuccessor(publicKey: Uint8Array): Peer | null {
    return this.byIndex(this.#successors.get(textOf(publicKey))?.peerIndex ?? 0);
  }

  /** The peer with this index; null for none. */
  byIndex(index: number): Peer | null {
    return this.#byIndex[index] ?? null;
  }

  /**
   * Adds a peer. Its allowed IPs are taken from any peer that had them, as WireGuard does.
   *
   * @throws {RangeError} when the public key is already a peer's, or there are as many as can be
   */
  add(options: PeerOptions, now: number): Peer {
    const { identity, mtu, paths, random, watch } = this.#options;
    if (this.byKey(options.publicKey) !== undefined) {
      throw new RangeError("Cannot add peer: its public key is in use");
    }
    if (this.#byKey.size === this.#capacity) {
      throw new RangeError(
        `Cannot add peer: there are ${this.#capacity} already: remove one first`,
      );
    }
    const staticSecret = new Uint8Array(KEY_SIZE);
    const index = this.#takeIndex();
    const peer = new Peer(options, {
      index,
      paths,
      timers: new Timers(
        this.#groups[index >>> GROUP_BITS] ??= new Deadline(this.deadline),
        () => random(1)[0] / 256,
      ),
      cookies: new CookieGenerator(options.publicKey),
      staticSecret: identity.agree(options.publicKey, staticSecret) ? staticSecret : null,
      mtu,
      watch: watch === null ? null : new Watch(watch),
    });
    this.#byIndex[peer.index] = peer;
    this.#byKey.set(textOf(peer.publicKey), peer);
    this.#insertAllowedIps(peer, options);
    this.setSuccessor(peer, options.nextKey ?? null);
    peer.timers.setPersistentInterval((options.persistentKeepalive ?? 0) * 1000, now);
    return peer;
  }

  /**
   * Has what is due done, peer by peer.
   *
   * @param run does what is due for one of them, and may arm timers of others
   */
  runDue(now: number, run: (peer: Peer, now: number) => void): void {
    const { deadline } = this;
    if (now < deadline.at) return;
    for (let group = 0; group < this.#groups.length; group++) {
      if (this.#groups[group]!.at <= now) this.#runGroup(group, now, run);
    }
    deadline.at = NEVER;
    for (const { at } of this.#groups) deadline.include(at);
  }

  #runGroup(group: number, now: number, run: (peer: Peer, now: number) => void): void {
    const deadline = this.#groups[group]!;
    deadline.at = NEVER;
    const first = group << GROUP_BITS;
    for (let index = first; index < first + (1 << GROUP_BITS); index++) {
      const peer = this.byIndex(index);
      if (peer === null) continue;
      run(peer, now);
      deadline.include(peer.timers.earliest());
    }
  }

  /**
   * Lets a peer have another key to come, or none. One that it is to have already keeps its session.
   *
   * @returns what is given up for it, whose session is the caller's to end; null for nothing
   */
  setSuccessor(peer: Peer, options: SuccessorOptions | null): Successor | null {
    const { successor } = peer;
    if (options !== null && successor !== null) {
      if (textOf(successor.publicKey) === textOf(options.publicKey)) {
        successor.presharedKey = options.presharedKey ?? new Uint8Array(KEY_SIZE);
        return null;
      }
    }
    if (successor !== null) this.#successors.delete(textOf(successor.publicKey));
    peer.successor = options && new Successor(peer.index, options, this.#options.identity);
    if (peer.successor !== null) this.#successors.set(textOf(options!.publicKey), peer.successor);
    return successor;
  }

  /** Gives a peer, whose old keys are zeroed by then, what is to take their place. */
  succeed(peer: Peer, successor: Successor): void {
    this.#byKey.delete(textOf(peer.publicKey));
    this.#successors.delete(textOf(successor.publicKey));
    this.forgetFormerKey(peer);
    this.#byFormerKey.set(textOf(peer.publicKey), peer);
    peer.formerKey = peer.publicKey;
    peer.staticSecret?.fill(0);
    peer.publicKey = successor.publicKey;
    peer.presharedKey = successor.presharedKey;
    peer.staticSecret = successor.staticSecret;
    peer.cookies = successor.cookies;
    peer.latestTimestamp = successor.latestTimestamp;
    peer.initiationReceivedAt = successor.initiationReceivedAt;
    peer.sharedKey = new SharedKey();
    peer.successor = null;
    this.#byKey.set(textOf(peer.publicKey), peer);
  }

  /** The configuration knows by now which key a peer has. */
  forgetFormerKey(peer: Peer): void {
    if (peer.formerKey !== null) this.#byFormerKey.delete(textOf(peer.formerKey));
    peer.formerKey = null;
  }

  #takeIndex(): number {
    const isNew = this.#byIndex.length <= this.#capacity;
    return isNew ? this.#byIndex.length : this.#free.shift()!;
  }

  #insertAllowedIps(peer: Peer, { allowedIps, allowedIps6 = [] }: PeerOptions): void {
    for (const { address, prefixLength } of allowedIps) {
      this.allowedIps.insert(address, prefixLength, peer);
    }
    const carried6 = this.#options.carriesIpv6 ? allowedIps6 : null;
    for (const network of carried6 ?? []) this.allowedIps6.insert(network, peer);
    this.#options.sharing?.peerPlaced(peer, allowedIps, carried6);
  }

  /**
   * Gives a peer other settings than it was made with. Its session stays; a preshared key counts from the next
   * handshake on, and where no endpoint is given it stays where it is.
   */
  update(peer: Peer, options: PeerOptions, now: number): void {
    peer.endSteady();
    peer.name = options.name ?? null;
    peer.accessId = options.accessId ?? 0;
    peer.presharedKey = options.presharedKey ?? new Uint8Array(32);
    peer.limitRate(options.rateLimit ?? null);
    this.allowedIps.removeByValue(peer);
    this.allowedIps6.removeByValue(peer);
    this.#insertAllowedIps(peer, options);
    const interval = (options.persistentKeepalive ?? 0) * 1000;
    if (interval !== peer.timers.persistentInterval) {
      peer.timers.setPersistentInterval(interval, now);
    }
    if (options.endpoint) {
      peer.configureEndpoint(options.endpoint);
      // A server looks for nobody by another transport: it is found.
      if (this.#options.followsTransport) peer.endpoint.setTransport(Transport.udp);
    }
  }

  /** Forgets a peer, whose keys are zeroed by then. */
  remove(peer: Peer): void {
    if (this.#byIndex[peer.index] !== peer) return;
    peer.isRemoved = true;
    peer.flow = null;
    peer.limitRate(null);
    peer.timers.stop();
    peer.endpoint.set(null);
    peer.staticSecret?.fill(0);
    this.allowedIps.removeByValue(peer);
    this.allowedIps6.removeByValue(peer);
    this.#byKey.delete(textOf(peer.publicKey));
    this.forgetFormerKey(peer);
    this.setSuccessor(peer, null)?.staticSecret?.fill(0);
    this.#byIndex[peer.index] = null;
    this.#free.push(peer.index);
    this.#options.sharing?.peerRemoved(peer);
  }
}

/** A public key as the key of a map. */
function textOf(publicKey: Uint8Array): string {
  return String.fromCharCode(...publicKey);
}
