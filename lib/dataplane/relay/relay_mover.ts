/**
 * Owns the moving of datagrams between the two ends of a relay, flow by flow. What a turn of the loop reads is bounded, so that
 * neither end starves the other; while the carrier's socket is full, UDP is not read.
 */
import { EAGAIN, EINTR } from "../../../ffi/errno.ts";
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { CarrierEvent } from "../../core/transport/fake_tcp/events.ts";
import type { RelayFlow, RelayFlows } from "../../core/relay/relay_flows.ts";
import type { Session } from "../../core/transport/fake_tcp/session.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";
import { Outgoing } from "./outgoing.ts";
import type { RelayLink } from "./relay_link.ts";
import type { UdpSockets } from "./udp_sockets.ts";

/** Receive calls for each socket in one turn of the loop. */
const RECEIVE_ROUNDS = 4;

export interface RelayMoverOptions {
  readonly link: RelayLink;
  readonly sockets: UdpSockets;
  readonly flows: RelayFlows;
  readonly drops: DropCounters;
  /** Told of connections that come about, and of those that do not. */
  readonly onReach: (isReached: boolean) => void;
}

export class RelayMover {
  /** On their way by UDP. */
  readonly outgoing: Outgoing;
  readonly #link: RelayLink;
  readonly #sockets: UdpSockets;
  readonly #flows: RelayFlows;
  readonly #drops: DropCounters;
  readonly #onReach: (isReached: boolean) => void;

  constructor({ link, sockets, flows, drops, onReach }: RelayMoverOptions) {
    this.#link = link;
    this.#sockets = sockets;
    this.#flows = flows;
    this.#drops = drops;
    this.#onReach = onReach;
    this.outgoing = new Outgoing(drops);
  }

  // From UDP to fake TCP.

  /** Takes what has come by UDP. */
  readUdp(now: number): void {
    const count = this.#sockets.wait();
    for (let i = 0; i < count; i++) {
      const socket = this.#sockets.ready(i);
      if (socket !== null) this.#readSocket(socket, now);
    }
    this.#link.flush(now);
  }

  #readSocket(socket: UdpSocket, now: number): void {
    for (let round = 0; round < RECEIVE_ROUNDS && this.#link.blockedFd < 0; round++) {
      const count = socket.receive();
      if (count < 0 && count !== -EAGAIN && count !== -EINTR) {
        // ICMP's answer to an earlier datagram, of a service that does not run.
        this.#drops.add(DropReason.sendError);
        this.outgoing.lastError = -count;
      }
      for (let i = 0; i < count; i++) this.#takeMessage(socket, i, now);
      if (count < socket.receivedOffsets.length) return;
    }
  }

  #takeMessage(socket: UdpSocket, index: number, now: number): void {
    const length = socket.receivedLengths[index];
    if (length <= 0) {
      // A segment without data is no datagram, so an empty one cannot be carried.
      this.#drops.add(length < 0 ? DropReason.truncatedDatagram : DropReason.empty);
      return;
    }
    const answered = this.#sockets.flowOf(socket);
    if (answered !== null) this.#flows.answered(answered);
    const flow = answered ?? this.#flowFrom(
      socket.receivedAddresses[index],
      socket.receivedPorts[index],
      socket.receivedSources[index],
      now,
    );
    if (flow === null) {
      this.#drops.add(DropReason.carrierSessionsFull, length);
      return;
    }
    const session = flow.session ?? this.#connect(flow, now);
    if (session === null) {
      this.#drops.add(DropReason.carrierNoSession, length);
      return;
    }
    this.#flows.use(flow, now);
    const start = socket.receivedOffsets[index];
    const size = socket.receivedSegmentSizes[index] || length;
    for (let at = 0; at < length; at += size) {
      this.#link.send(session, start + at, Math.min(size, length - at), now);
    }
  }

  /** The flow of a far end, which may be a new one; null where there is no room for it. */
  #flowFrom(address: number, port: number, source: number, now: number): RelayFlow | null {
    const known = this.#flows.find(address, port, source);
    if (known !== null) return known;
    const flow = this.#flows.open(address, port, source, now);
    this.#letGo();
    return flow;
  }

  #connect(flow: RelayFlow, now: number): Session | null {
    const session = this.#link.connect(now);
    if (session !== null) this.#flows.carry(flow, session);
    return session;
  }

  // From fake TCP to UDP.

  /** Takes what was captured. */
  readLink(now: number): void {
    const link = this.#link;
    for (let round = 0; round < RECEIVE_ROUNDS; round++) {
      const count = link.receive();
      for (let i = 0; i < count; i++) this.#takeSegment(i, now);
      // Before the buffers are used again.
      this.outgoing.flush();
      if (link.isDrained(count)) break;
    }
    link.flush(now);
  }

  #takeSegment(index: number, now: number): void {
    const length = this.#link.handle(index, now);
    if (length === 0) return;
    const { carrier } = this.#link;
    const session = carrier.receivedFrom!;
    const flow = this.#flows.carriedBy(session) ?? this.#flowOf(session, now);
    if (flow === null) {
      this.#drops.add(DropReason.carrierSessionsFull, length);
      carrier.close(session);
      return;
    }
    if (session.isClient) this.#flows.answered(flow);
    const socket = this.#sockets.socketOf(flow);
    if (socket === null) {
      this.#drops.add(DropReason.sendError, length);
      return;
    }
    this.#flows.use(flow, now);
    this.outgoing.use(socket);
    const { target } = this.#sockets;
    const address = target === null ? flow.address : target.address;
    const port = target === null ? flow.port : target.port;
    const source = target === null ? flow.source : 0;
    const start = carrier.receivedOffset;
    const size = carrier.receivedSegmentSize || length;
    for (let at = 0; at < length; at += size) {
      this.outgoing.add(start + at, Math.min(size, length - at), address, port, source);
    }
  }

  /** The flow of a connection that was accepted: a new one, unless its client has begun anew from the same port. */
  #flowOf(session: Session, now: number): RelayFlow | null {
    const { remoteAddress, remotePort, localAddress } = session;
    const flow = this.#flowFrom(remoteAddress, remotePort, localAddress, now);
    if (flow === null) return null;
    this.#flows.carry(flow, session);
    // From now on the flow's place is what counts.
    this.#link.carrier.keep(session);
    return flow;
  }

  // Time.

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return Math.min(this.#link.pollAt(), this.#flows.pollAt());
  }

  /** Does what is due, and what has happened leads to. */
  poll(now: number): void {
    this.#link.poll(now);
    const { events } = this.#link.carrier;
    for (const event of events) this.#react(event);
    events.length = 0;
    this.#flows.poll(now);
    this.#letGo();
    this.#link.flush(now);
  }

  /** A relay has nothing that the other end could authenticate, so that keepalives asked for are not sent. */
  #react({ kind, session, ...rest }: CarrierEvent): void {
    if (kind === "established") {
      this.#onReach(true);
      // As good a proof as there will be where a service never answers.
      if (session.isClient) this.#link.carrier.keep(session);
    }
    if (kind !== "lost") return;
    if ("reason" in rest && rest.reason === "unanswered") this.#onReach(false);
    const flow = this.#flows.carriedBy(session);
    // Its client's next datagram begins another.
    if (flow !== null) this.#flows.end(flow);
  }

  /** Takes note that interfaces, addresses or routes have changed: a connection from an address that has gone is over. */
  networkChanged(): void {
    const link = this.#link;
    link.networkChanged();
    for (const session of link.carrier.sessions) {
      if (!link.isStranded(session)) continue;
      const flow = this.#flows.carriedBy(session);
      if (flow !== null) this.#flows.end(flow);
    }
    this.#letGo();
  }

  /** Gives up what is held for flows that are over. */
  #letGo(): void {
    const { ended } = this.#flows;
    if (ended.length === 0) return;
    this.outgoing.flush();
    for (const flow of ended) {
      if (flow.session !== null) this.#link.carrier.close(flow.session);
      this.#sockets.close(flow);
    }
    ended.length = 0;
  }
}
