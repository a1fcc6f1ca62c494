/**
 * Owns the WireGuard device: peers, the demultiplexing of messages, what follows from them and what timers lead to.
 *
 * It does no I/O and reads no clock. Datagrams and packets come in as offsets into the packet memory together with the
 * time; what it wants sent is left in the send queue, what it wants known in `events`. `poll(now)` does what is due,
 * `pollAt()` says when that is. Times are monotonic ms.
 */
import type { AeadProvider } from "../noise/aead.ts";
import { CookieGenerator, type RandomBytes } from "../noise/cookie.ts";
import { type KeyPair, sharedSecret } from "../noise/x25519.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import { ecnOf } from "../wire/ecn.ts";
import type { Memory } from "../wire/memory.ts";
import {
  COOKIE_REPLY_SIZE,
  INITIATION_SIZE,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  messageType,
  paddedSize,
  RESPONSE_SIZE,
  TRANSPORT_MIN_SIZE,
  TRANSPORT_OVERHEAD,
  TRANSPORT_PACKET_OFFSET,
  TRANSPORT_RECEIVER_OFFSET,
} from "../wire/messages.ts";
import { AllowedIps } from "./allowed_ips.ts";
import { Control } from "./liveness/control.ts";
import { MAX_STAGED_PACKETS } from "./constants.ts";
import { type DeviceEvent, type DeviceEventKind, DeviceEvents } from "./device_events.ts";
import { type PeerActions, runTimers } from "./due_timers.ts";
import { Carrier, Endpoint } from "../transport/endpoint.ts";
import { Handshakes } from "./handshake/handshakes.ts";
import { randomUint32 } from "./handshake/handshake_gate.ts";
import { IndexTable } from "./handshake/index_table.ts";
import { writeGoodbye } from "./liveness/goodbye.ts";
import type { Keypair } from "./session/keypair.ts";
import { Watch, type WatchOptions } from "./liveness/liveness.ts";
import { PacketDirection, type PacketTap } from "./packet_tap.ts";
import { Peer, type PeerOptions } from "./peer.ts";
import { PeerTable } from "./peer_table.ts";
import { received, receivedOffset } from "./received.ts";
import { isProbe, writeProbe } from "./path/path_mtu.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import { Software } from "./liveness/recognition.ts";
import { confirm, dropHandshake, dropSessions } from "./session/key_slots.ts";
import { StagedPackets } from "./session/staged_packets.ts";
import { type Deadline, NEVER, Timers } from "./timers.ts";
import { TransportMessages } from "./session/transport_messages.ts";

/** Smallest handshake message with anything in it to read: its type. */
const TYPE_SIZE = 4;

export interface DeviceOptions {
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
  readonly identity: KeyPair;
  readonly aead: AeadProvider;
  readonly drops: DropCounters;
  /** Inner MTU in bytes; that of a peer, whose path may be narrower, begins with it. */
  readonly mtu: number;
  readonly random: RandomBytes;
  /** Unix ms. */
  readonly wallClock: () => number;
  /**
   * Whether a peer's carrier follows its packets as its address does. A server's does; a client has chosen, and two carriers'
   * packets overtake each other.
   */
  readonly followsCarrier?: boolean;
  /** How peers are watched; left out, they are not, and nothing tells this from plain WireGuard but its answers to probes. */
  readonly watch?: WatchOptions;
  /** Name and version of the program, for the peers that ask. */
  readonly software?: string;
}

export class Device {
  readonly allowedIps: AllowedIps<Peer> = new AllowedIps();
  /** What happened since the caller last emptied it, see `DeviceEvents`. */
  readonly events: DeviceEvent[];
  /** Watches the packets; null for nobody. */
  tap: PacketTap | null = null;

  readonly #events = new DeviceEvents();
  readonly #memory: Memory;
  readonly #sendQueue: SendQueue;
  readonly #drops: DropCounters;
  readonly #identity: KeyPair;
  readonly #mtu: number;
  readonly #random: RandomBytes;
  readonly #wallClock: () => number;
  readonly #peers = new PeerTable();
  readonly #indices = new IndexTable();
  readonly #handshakes: Handshakes;
  readonly #deadline: Deadline = { at: NEVER };
  readonly #from = new Endpoint();
  readonly #staged: StagedPackets;
  readonly #messages: TransportMessages;
  readonly #control: Control;
  readonly #watch: WatchOptions | null;
  readonly #followsCarrier: boolean;
  /** What its timers lead to. */
  readonly #actions: PeerActions = {
    sendKeepalive: (peer, now) => this.sendKeepalive(peer, now),
    sendHeartbeat: (peer, now) => this.#control.sendHeartbeat(peer, now),
    sendHello: (peer, now) => this.#control.sendHello(peer, now),
    initiate: (peer, now) => this.initiate(peer, now),
    sendInitiation: (peer, now) => this.#sendInitiation(peer, now),
    abandonHandshake: (peer) => {
      dropHandshake(this.#indices, peer);
      this.#staged.drop(peer);
    },
    zeroKeys: (peer) => this.#zeroKeys(peer),
    release: (peer) => this.#release(peer),
    report: (kind, peer) => this.#report(kind, peer),
  };

  constructor(options: DeviceOptions) {
    this.events = this.#events.list;
    this.#memory = options.memory;
    this.#sendQueue = options.sendQueue;
    this.#drops = options.drops;
    this.#identity = options.identity;
    this.#mtu = options.mtu;
    this.#random = options.random;
    this.#wallClock = options.wallClock;
    this.#watch = options.watch ?? null;
    this.#followsCarrier = options.followsCarrier ?? true;
    this.#staged = new StagedPackets(options.drops, options.mtu);
    this.#messages = new TransportMessages(options);
    this.#handshakes = new Handshakes({
      ...options,
      isMarked: this.#watch !== null,
      indices: this.#indices,
      peers: this.#peers,
    });
    this.#control = new Control({
      memory: options.memory,
      watch: this.#watch,
      software: options.software ?? "",
      instance: this.#watch === null ? 0 : randomUint32(options.random),
      wallClock: options.wallClock,
      send: (peer, write, now, to) => this.#sendUnasked(peer, write, now, to),
      release: (peer) => this.#release(peer),
      report: (kind, peer) => this.#report(kind, peer),
    });
  }

  // Peers.

  get peers(): Iterable<Peer> {
    return this.#peers;
  }

  /** Handshake messages that were worth a Diffie-Hellman, since the start; an int32 that may wrap around. */
  get admittedHandshakes(): number {
    return this.#handshakes.gate.admitted;
  }

  /** The peer with this 32-byte public key. */
  peer(publicKey: Uint8Array): Peer | undefined {
    return this.#peers.byKey(publicKey);
  }

  /** The peer with this index, as results have it; null for none. */
  peerAt(index: number): Peer | null {
    return this.#peers.byIndex(index);
  }

  /**
   * Adds a peer. Its allowed IPs are taken from any peer that had them, as WireGuard does.
   *
   * @throws {RangeError} when the public key is already a peer's, or there are too many peers
   */
  addPeer(options: PeerOptions, now: number): Peer {
    if (this.#peers.byKey(options.publicKey) !== undefined) {
      throw new RangeError("Cannot add peer: its public key is in use");
    }
    const peer = new Peer(options, {
      index: this.#peers.nextIndex(),
      timers: new Timers(this.#deadline, () => this.#random(1)[0] / 256),
      cookies: new CookieGenerator(options.publicKey),
      staticSecret: sharedSecret(this.#identity.secret, options.publicKey),
      mtu: this.#mtu,
      watch: this.#watch === null ? null : new Watch(this.#watch),
    });
    this.#peers.add(peer);
    for (const { address, prefixLength } of options.allowedIps) {
      this.allowedIps.insert(address, prefixLength, peer);
    }
    peer.timers.setPersistentInterval((options.persistentKeepalive ?? 0) * 1000, now);
    return peer;
  }

  /**
   * Gives a peer other settings than it was made with. Its session stays; a preshared key counts from the next handshake on,
   * and where no endpoint is given it stays where it is.
   */
  updatePeer(peer: Peer, options: PeerOptions, now: number): void {
    peer.name = options.name ?? null;
    peer.presharedKey = options.presharedKey ?? new Uint8Array(32);
    peer.limitRate(options.rateLimit ?? null);
    this.allowedIps.removeByValue(peer);
    for (const { address, prefixLength } of options.allowedIps) {
      this.allowedIps.insert(address, prefixLength, peer);
    }
    const interval = (options.persistentKeepalive ?? 0) * 1000;
    if (interval !== peer.timers.persistentInterval) {
      peer.timers.setPersistentInterval(interval, now);
    }
    if (options.endpoint) {
      peer.configureEndpoint(options.endpoint);
      // A server looks for nobody by another carrier: it is found.
      if (this.#followsCarrier) peer.endpoint.carrier = Carrier.udp;
    }
  }

  /** Forgets a peer and zeroes its keys. */
  removePeer(peer: Peer): void {
    peer.isRemoved = true;
    this.#staged.drop(peer);
    this.#zeroKeys(peer);
    peer.timers.stop();
    peer.staticSecret?.fill(0);
    this.allowedIps.removeByValue(peer);
    this.#peers.remove(peer);
  }

  // From the network.

  /**
   * Takes one datagram. A transport message is decrypted where it lies; up to three bytes before it may be overwritten.
   *
   * @param address,port,source where it came from and our address it was sent to, host order; addresses best as int32,
   * since a uint32 of 2^31 and above is an object on the heap wherever it is passed on
   * @param carrier how it came
   * @returns as in received.ts: whose it was and the bytes of its packet, which begins at `receivedOffset(offset)`
   */
  receive(
    offset: number,
    length: number,
    address: number,
    port: number,
    source: number,
    now: number,
    carrier: Carrier = Carrier.udp,
  ): number {
    const type = length < TYPE_SIZE ? 0 : messageType(this.#memory.view, offset);
    if (type === MESSAGE_TRANSPORT) {
      return this.#receiveTransport(offset, length, address, port, source, now, carrier);
    }
    this.#setFrom(address, port, source, carrier);
    const peerOrReason = this.#receiveHandshake(type, offset, length, now);
    return peerOrReason < 0 ? this.#refuse(-peerOrReason, length) : received(peerOrReason, 0);
  }

  #refuse(reason: number, length: number): number {
    this.#drops.add(reason as DropReason, length);
    return -reason;
  }

  #setFrom(address: number, port: number, source: number, carrier: Carrier): void {
    this.#from.address = address >>> 0;
    this.#from.port = port;
    this.#from.source = source >>> 0;
    this.#from.carrier = carrier;
  }

  #receiveTransport(
    offset: number,
    length: number,
    address: number,
    port: number,
    source: number,
    now: number,
    carrier: Carrier,
  ): number {
    if (length < TRANSPORT_MIN_SIZE) return this.#refuse(DropReason.badMessageLength, length);
    const { view } = this.#memory;
    const keypair = this.#indices.keypair(view.getInt32(offset + TRANSPORT_RECEIVER_OFFSET, true));
    if (keypair === null) return this.#refuse(DropReason.unknownIndex, length);
    const packetLength = this.#messages.open(keypair, offset, length, now);
    if (packetLength < 0) return this.#refuse(-packetLength, length);
    const packet = receivedOffset(offset);
    const { peer } = keypair;
    if (keypair === peer.previous && this.#isKeyShared(peer, address, port, now)) {
      this.#report("key-shared", peer);
    }
    const isElsewhere = carrier !== peer.endpoint.carrier;
    if (isElsewhere) this.#setFrom(address, port, source, carrier);
    // A probe only asks whether its carrier works. Whoever asks moves when the answer has arrived.
    if (isElsewhere && (!this.#followsCarrier || isProbe(view, packet, packetLength))) {
      this.#heard(peer, now);
    } else {
      this.#locate(peer, length, address, port, source, now, carrier);
      this.#heard(peer, now);
    }
    if (confirm(this.#indices, peer, keypair)) this.#sessionConfirmed(peer, now);
    if (!keypair.isHeard) this.#heardFirst(peer, keypair, now);
    if (peer.proof.mayAsk(now)) this.#sendInitiation(peer, now);
    // The current key, whichever one the packet came under: a late packet under the previous one renews nothing.
    if (!peer.renewalAsked && peer.current?.isStaleForReceiving(now)) {
      peer.renewalAsked = true;
      this.initiate(peer, now);
    }
    const { index } = peer;
    if (packetLength === 0) return received(index, 0);
    if (view.getUint8(packet) === 0) {
      const from = isElsewhere ? this.#from : peer.endpoint;
      if (this.#control.receive(peer, keypair, packet, packetLength, from, now)) {
        return received(index, 0);
      }
    }
    peer.timers.dataReceived(now);
    return received(index, packetLength);
  }

  #isKeyShared(peer: Peer, address: number, port: number, now: number): boolean {
    const { current, endpoint, sharedKey } = peer;
    return current !== null &&
      sharedKey.heardUnderOldSession(current, address, port, endpoint, now);
  }

  /** The first packet of a session has come: its counter tells what runs at the other end. */
  #heardFirst(peer: Peer, keypair: Keypair, now: number): void {
    if (!peer.sendsUnder(keypair)) {
      keypair.isHeard = true;
      return;
    }
    keypair.isHeard = true;
    if (keypair.isTentative) {
      keypair.isTentative = false;
      // Nobody needs the responses to the initiations after it any more.
      dropHandshake(this.#indices, peer);
      this.#sessionConfirmed(peer, now);
    }
    const { watch } = peer;
    if (watch === null) return;
    if (!keypair.isInitiator) {
      // From our response to the first packet under its key, which the initiator sends at once.
      watch.roundTrip.measured(now - keypair.createdAt);
    }
    if (watch.recognition.heard(keypair.replay.greatestHigh)) this.#report("recognized", peer);
    peer.timers.watchBy(watch.nextAt(peer));
  }

  /** Returns the index of the peer that a message proved to be from, 0 for none, or minus the drop reason. */
  #receiveHandshake(type: number, offset: number, length: number, now: number): number {
    switch (type) {
      case MESSAGE_INITIATION: {
        if (length !== INITIATION_SIZE) return -DropReason.badMessageLength;
        const result = this.#handshakes.receiveInitiation(offset, this.#from, now);
        if (result > 0) this.#initiationReceived(this.#peers.byIndex(result)!, length, now);
        return result;
      }
      case MESSAGE_RESPONSE: {
        if (length !== RESPONSE_SIZE) return -DropReason.badMessageLength;
        const result = this.#handshakes.receiveResponse(offset, now);
        if (result > 0) this.#responseReceived(this.#peers.byIndex(result)!, length, now);
        return result;
      }
      case MESSAGE_COOKIE_REPLY:
        if (length !== COOKIE_REPLY_SIZE) return -DropReason.badMessageLength;
        return 0 - this.#handshakes.receiveCookieReply(offset, now);
      default:
        return -DropReason.unknownMessage;
    }
  }

  #initiationReceived(peer: Peer, length: number, now: number): void {
    this.#handshakeReceived(peer, length, now);
    // An initiation shows that the peer sends, and not that it receives: no session stands until data under its key comes.
    peer.timers.authenticatedReceived(now);
    peer.timers.authenticatedSent(now);
    peer.lastSentAt = now;
    peer.proof.spendOnQuestion(RESPONSE_SIZE);
    peer.proof.answered(now);
    if (!peer.proof.isProven) peer.timers.postponeHandshake(now + peer.proof.repeatAfter);
  }

  #responseReceived(peer: Peer, length: number, now: number): void {
    // A client on a long path has left this transport for another before the response came.
    if (!this.#followsCarrier && this.#from.carrier !== peer.endpoint.carrier) {
      this.#report("carrier-works", peer);
    }
    this.#handshakeReceived(peer, length, now);
    peer.watch?.recognition.sessionBegan(true, now);
    this.#heard(peer, now);
    // A responder that has answered a later initiation as well has dropped this session: what is sent would be lost.
    if (!peer.current!.isTentative) this.#sessionConfirmed(peer, now);
    // The responder may not use the new key before a packet under it has come.
    if (peer.current?.counterLow === 0) this.sendKeepalive(peer, now);
  }

  #handshakeReceived(peer: Peer, length: number, now: number): void {
    peer.receivedBytes += length;
    const { address, port, source, carrier } = this.#from;
    if (carrier === peer.endpoint.carrier || this.#followsCarrier) {
      this.#locate(peer, length, address, port, source, now, carrier);
    }
    peer.timers.sessionDerived(now);
  }

  /** An authenticated message came from this endpoint: the peer is there now (roaming). */
  #locate(
    peer: Peer,
    length: number,
    address: number,
    port: number,
    source: number,
    now: number,
    carrier: Carrier,
  ): void {
    const { endpoint } = peer;
    if (
      endpoint.address !== address >>> 0 || endpoint.port !== port || endpoint.carrier !== carrier
    ) {
      endpoint.address = address >>> 0;
      endpoint.port = port;
      endpoint.carrier = carrier;
      peer.proof.moved(endpoint, peer.watch?.roundTrip.smoothed ?? 0);
      this.#report("endpoint-changed", peer);
      // Back where it was proven; else it is asked, even if no packet comes at a time when it may be.
      if (peer.proof.isProven) this.#sendStaged(peer, now);
      else peer.timers.handshakeBy(now + peer.proof.repeatAfter);
    }
    if (!peer.proof.isProven) peer.proof.received(length);
    endpoint.source = source >>> 0;
  }

  /** A message came that shows a session: the peer is alive. */
  #heard(peer: Peer, now: number): void {
    peer.lastReceivedAt = now;
    peer.unansweredSince = NEVER;
    peer.askedSince = NEVER;
    peer.timers.authenticatedReceived(now);
    const { watch } = peer;
    if (watch === null) return;
    if (watch.isDown) {
      watch.renewed();
      this.#report("up", peer);
      // Of a peer that was down, the watch looked forward to its release.
      peer.timers.watchBy(watch.nextAt(peer));
    }
    if (peer.timers.watchAt === NEVER) peer.timers.watchBy(watch.nextAt(peer));
  }

  #sessionConfirmed(peer: Peer, now: number): void {
    const { address, port } = peer.endpoint;
    const { sentTo } = peer.current!;
    // The handshake may have been with another endpoint than the one that its last message seems to come from.
    if (sentTo.address === address && sentTo.port === port) {
      peer.proof.prove(peer.endpoint, this.#handshakes.gate.proven);
    }
    peer.timers.handshakeCompleted();
    peer.lastHandshakeUnixTime = this.#wallClock();
    peer.watch?.recognition.sessionBegan(peer.current!.isInitiator, now);
    peer.timers.watchBy(peer.watch?.nextAt(peer) ?? NEVER);
    this.#report("handshake-completed", peer);
    this.#sendStaged(peer, now);
  }

  // To the network.

  /**
   * Seals a packet for `peer` into the send queue. Without a session it waits (a copy) while a handshake is begun.
   * Up to 15 bytes behind the packet are overwritten with padding.
   */
  send(peer: Peer, offset: number, length: number, now: number): void {
    if (length > this.#mtu) {
      this.#drops.add(DropReason.tooBig, length);
      return;
    }
    if (peer.endpoint.port === 0) {
      this.#drops.add(DropReason.noEndpoint, length);
      return;
    }
    if (peer.toLimit !== null && !peer.toLimit.take(length, now)) {
      peer.rateLimited++;
      this.#drops.add(DropReason.rateLimited, length);
      return;
    }
    const keypair = peer.current;
    if (keypair === null || !keypair.canSend(now)) {
      // A super-packet may be under way to a peer that is removed meanwhile.
      if (peer.isRemoved) {
        this.#drops.add(DropReason.noRoute, length);
        return;
      }
      this.#staged.add(peer, this.#memory.bytes.subarray(offset, offset + length));
      this.initiate(peer, now);
      return;
    }
    this.#sendData(peer, keypair, offset, length, now);
  }

  /** Sends an empty packet, which tells the peer and the NATs on the path that we are here. */
  sendKeepalive(peer: Peer, now: number): void {
    if (peer.endpoint.port === 0) return;
    const keypair = peer.current;
    if (keypair === null || !keypair.canSend(now)) {
      this.initiate(peer, now);
      return;
    }
    if (!peer.proof.spend(TRANSPORT_OVERHEAD)) return;
    if (this.#messages.seal(keypair, 0, 0, peer.endpoint)) this.#sealed(peer, keypair, now);
  }

  /**
   * Sends a probe of the path to `peer`, see `PathMtuSearch`. Stock peers count an error for what is no packet inside; they get a
   * message of that length which is not sealed, and which they drop without a word: only routers can answer it. As long as it
   * is not known what runs there, nothing is sent.
   *
   * @param length bytes, at most the MTU
   * @param carrier by which to send it, to the peer's address and port
   * @returns whether it was sent
   */
  sendProbe(
    peer: Peer,
    length: number,
    now: number,
    carrier: Carrier = peer.endpoint.carrier,
  ): boolean {
    const software = peer.watch?.recognition.software ?? Software.ours;
    if (software === Software.unknown) return false;
    // Nor is it before the first packet of the session has come: another program may run there by now.
    if (software === Software.stock || peer.watch?.recognition.isHeard === false) {
      return this.#sendBlindProbe(peer, length, now);
    }
    let to = peer.endpoint;
    if (carrier !== to.carrier) {
      this.#setFrom(to.address, to.port, 0, carrier);
      to = this.#from;
    }
    return this.#sendUnasked(peer, (at) => writeProbe(this.#memory, at, length), now, to);
  }

  #sendBlindProbe(peer: Peer, length: number, now: number): boolean {
    const { current: keypair, endpoint, proof } = peer;
    if (endpoint.port === 0 || keypair === null || !keypair.canSend(now)) return false;
    if (!proof.spend(length + TRANSPORT_OVERHEAD)) return false;
    return this.#messages.putBlind(keypair.remoteIndex, length, endpoint);
  }

  /** Reaches a peer by this carrier from now on; a handshake, which may follow at once, shows whether it does. */
  setCarrier(peer: Peer, carrier: Carrier): void {
    if (peer.endpoint.carrier === carrier) return;
    peer.endpoint.carrier = carrier;
    peer.endpoint.source = 0;
    // What was sent by the other carrier puts off nothing.
    peer.initiationSentAt = -Infinity;
  }

  /** Tells all peers of ours with a session that this end closes; any other would count it as an error. */
  sayGoodbye(now: number): void {
    for (const peer of this.#peers) {
      if (peer.watch !== null && !peer.watch.isOurs) continue;
      this.#sendUnasked(peer, (at) => writeGoodbye(this.#memory, at), now);
    }
  }

  /** Seals what is no packet and asks for no answer, written where it is sent from; false where there is no session. */
  #sendUnasked(
    peer: Peer,
    write: (at: number) => number,
    now: number,
    to: Endpoint = peer.endpoint,
  ): boolean {
    const keypair = peer.current;
    const slot = this.#sendQueue.reserve();
    if (peer.endpoint.port === 0 || keypair === null || !keypair.canSend(now) || slot < 0) {
      return false;
    }
    const at = slot + TRANSPORT_PACKET_OFFSET;
    const length = write(at);
    // By another carrier goes an answer that is no longer than its question, or a probe to an endpoint that we chose.
    if (to === peer.endpoint && !peer.proof.spend(length + TRANSPORT_OVERHEAD)) return false;
    if (!this.#messages.seal(keypair, at, length, to)) return false;
    this.#sealed(peer, keypair, now);
    return true;
  }

  /**
   * Asks for a handshake with `peer`: sends an initiation unless one was sent less than REKEY_TIMEOUT ago, or the
   * endpoint is not known. Whoever asks starts the count of attempts anew, as the paper has it (section 6.4).
   */
  initiate(peer: Peer, now: number): void {
    const { timers } = peer;
    timers.handshakeAttempts = 0;
    if (now - peer.initiationSentAt >= timers.handshakeInterval) this.#sendInitiation(peer, now);
  }

  /** Pads a packet with zeros and seals it. */
  #sendData(peer: Peer, keypair: Keypair, offset: number, length: number, now: number): void {
    const padded = paddedSize(length, peer.mtu);
    if (!peer.proof.spend(padded + TRANSPORT_OVERHEAD)) {
      this.#awaitProof(peer, offset, length);
      return;
    }
    const { bytes, view } = this.#memory;
    for (let i = offset + length; i < offset + padded; i++) bytes[i] = 0;
    const ecn = ecnOf(view, offset);
    // Before it is sealed, which may be in place; what finds no room in the queue goes nowhere.
    if (this.tap !== null && this.#sendQueue.free > 0) {
      this.tap.take(peer, PacketDirection.outbound, offset, length);
    }
    if (!this.#messages.seal(keypair, offset, padded, peer.endpoint)) return;
    this.#sendQueue.setEcn(ecn);
    peer.timers.dataSent(now);
    if (peer.unansweredSince === NEVER) this.#awaitAnswer(peer, now);
    this.#sealed(peer, keypair, now);
  }

  /** Keeps a packet until the peer has shown that it is where it seems to be; the first are kept, as TCP sends the others again. */
  #awaitProof(peer: Peer, offset: number, length: number): void {
    if (peer.staged.length < MAX_STAGED_PACKETS) {
      this.#staged.add(peer, this.#memory.bytes.subarray(offset, offset + length));
    } else this.#drops.add(DropReason.endpointUnproven, length);
  }

  /** What was just sent has an answer, unless the peer is gone. */
  #awaitAnswer(peer: Peer, now: number): void {
    peer.unansweredSince = now;
    peer.timers.watchBy(peer.watch?.nextAt(peer) ?? NEVER);
  }

  #sealed(peer: Peer, keypair: Keypair, now: number): void {
    peer.lastSentAt = now;
    peer.timers.authenticatedSent(now);
    if (keypair.isStaleForSending(now)) this.initiate(peer, now);
  }

  #sendInitiation(peer: Peer, now: number): void {
    const { timers } = peer;
    if (peer.endpoint.port === 0 || peer.isRemoved) return;
    // Should the queue be full, or the endpoint have had its bytes, the timer below tries again.
    if (peer.proof.spendOnQuestion(INITIATION_SIZE) && this.#handshakes.sendInitiation(peer, now)) {
      peer.proof.asked(now);
      timers.authenticatedSent(now);
      if (peer.askedSince === NEVER) {
        peer.askedSince = now;
        if (peer.unansweredSince === NEVER) peer.unansweredSince = now;
        timers.watchBy(peer.watch?.nextAt(peer) ?? NEVER);
      }
    }
    timers.handshakeInitiated(now, peer.proof.repeatAfter);
  }

  #sendStaged(peer: Peer, now: number): void {
    const keypair = peer.current;
    if (peer.staged.length === 0 || keypair === null || !keypair.canSend(now)) return;
    for (const packet of this.#staged.take(peer)) {
      const slot = this.#sendQueue.reserve();
      if (slot < 0) {
        this.#drops.add(DropReason.sendQueueFull, packet.length);
        continue;
      }
      // Staged packets lie outside the packet memory, so they are sealed where they are sent from.
      const at = slot + TRANSPORT_PACKET_OFFSET;
      this.#memory.bytes.set(packet, at);
      this.#sendData(peer, keypair, at, packet.length, now);
    }
  }

  // Time.

  /** When `poll()` has something to do at the earliest; `Infinity` for never. */
  pollAt(): number {
    return this.#deadline.at;
  }

  /** Does what is due. Costs one comparison when nothing is. */
  poll(now: number): void {
    if (now < this.#deadline.at) return;
    this.#deadline.at = NEVER;
    for (const peer of this.#peers) {
      runTimers(peer, this.#actions, now);
      const earliest = peer.timers.earliest();
      if (earliest < this.#deadline.at) this.#deadline.at = earliest;
    }
  }

  /** Zeroes what there is of keys, sessions' and a handshake's. */
  #zeroKeys(peer: Peer): void {
    dropHandshake(this.#indices, peer);
    dropSessions(this.#indices, peer);
    peer.proof.forget(this.#handshakes.gate.proven);
  }

  /** Takes from a peer that is gone what it holds: keys and endpoint here, and by the event the rest elsewhere. */
  #release(peer: Peer): void {
    this.#staged.drop(peer);
    this.#zeroKeys(peer);
    peer.forgetEndpoint();
    peer.watch?.forget();
    // Only a server releases, and by another carrier it looks for nobody.
    peer.endpoint.carrier = Carrier.udp;
    this.#report("released", peer);
  }

  /** Shakes hands with every peer that there is a session with, whatever the last initiation's age. */
  renew(now: number): void {
    for (const peer of this.#peers) {
      peer.endpoint.source = 0;
      if (peer.current === null) continue;
      peer.timers.handshakeAttempts = 0;
      this.#sendInitiation(peer, now);
    }
  }

  /** Stops using a local address that the host no longer has. */
  forgetSource(source: number): void {
    for (const peer of this.#peers) {
      if (peer.endpoint.source === source) peer.endpoint.source = 0;
    }
  }

  #report(kind: DeviceEventKind, peer: Peer): void {
    this.#events.add(kind, peer);
  }
}
