/**
 * Relay mover: moves datagrams between the two ends of a relay, flow by flow. What a turn of the loop reads is bounded,
 * so that neither end starves the other; while fake TCP has no room, UDP is not read.
 */
import type { DatagramPort } from "../engine/ports.ts";
import { type Receiver, receiveRounds } from "../engine/receive_rounds.ts";
import type { FakeTcpEvent } from "../transport/fake_tcp/events.ts";
import { NO_PATH, type Paths } from "../transport/paths.ts";
import type { Session } from "../transport/fake_tcp/session.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { FlowPorts } from "./flow_ports.ts";
import { Outgoing } from "./outgoing.ts";
import type { RelayFlow, RelayFlows } from "./relay_flows.ts";
import type { RelayLink } from "./relay_link.ts";

export interface RelayMoverOptions {
  readonly link: RelayLink;
  readonly ports: FlowPorts;
  readonly flows: RelayFlows;
  readonly paths: Paths;
  readonly drops: DropCounters;
  /** Told of connections that come about, and of those that do not. */
  readonly onReach: (isReached: boolean) => void;
}

export class RelayMover {
  readonly #link: RelayLink;
  readonly #ports: FlowPorts;
  readonly #flows: RelayFlows;
  readonly #drops: DropCounters;
  readonly #onReach: (isReached: boolean) => void;
  /** On their way by UDP. */
  readonly #outgoing: Outgoing;
  readonly #fromUdp: Receiver<DatagramPort> = {
    take: (port, index, now) => this.#takeMessage(port, index, now),
    endBatch: () => !this.#link.isFull,
  };
  readonly #fromFakeTcp: Receiver<DatagramPort> = {
    take: (port, index, now) => this.#takeSegment(port, index, now),
    endBatch: (now) => {
      this.#outgoing.flush(now);
      return true;
    },
  };
  #isUdpAwaited = true;

  constructor({ link, ports, flows, paths, drops, onReach }: RelayMoverOptions) {
    this.#link = link;
    this.#ports = ports;
    this.#flows = flows;
    this.#drops = drops;
    this.#onReach = onReach;
    this.#outgoing = new Outgoing(paths, drops);
  }

  // From UDP to fake TCP.

  /** Takes what has come by UDP. */
  readUdp(now: number): void {
    const count = this.#ports.wait();
    for (let i = 0; i < count; i++) {
      const port = this.#ports.ready(i);
      if (port !== null && !this.#link.isFull) receiveRounds(port, this.#fromUdp, now);
    }
    this.flush(now);
  }

  #takeMessage(port: DatagramPort, index: number, now: number): void {
    if (!port.take(index, now)) return;
    const { offsets, lengths, segmentSizes, pathIds } = port.messages;
    const length = lengths[index];
    if (length <= 0) {
      // A segment without data is no datagram, so an empty one cannot be carried.
      this.#drops.add(length < 0 ? DropReason.truncatedDatagram : DropReason.empty);
      return;
    }
    if (pathIds[index] === NO_PATH) {
      this.#drops.add(DropReason.noPath, length);
      return;
    }
    const answered = this.#ports.flowOf(port);
    if (answered !== null) this.#flows.answered(answered);
    const flow = answered ?? this.#flowFrom(pathIds[index], now);
    if (flow === null) {
      this.#drops.add(DropReason.fakeTcpSessionsFull, length);
      return;
    }
    const session = flow.session ?? this.#connect(flow, now);
    if (session === null) {
      this.#drops.add(DropReason.fakeTcpNoSession, length);
      return;
    }
    this.#flows.use(flow, now);
    const start = offsets[index];
    const size = segmentSizes[index] || length;
    for (let at = 0; at < length; at += size) {
      this.#link.send(session, start + at, Math.min(size, length - at), now);
    }
  }

  /** The flow of a far end, which may be a new one; null where there is no room for it. */
  #flowFrom(path: number, now: number): RelayFlow | null {
    const known = this.#flows.find(path);
    if (known !== null) return known;
    const flow = this.#flows.open(path, now);
    this.#letGo(now);
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
    receiveRounds(this.#link.port, this.#fromFakeTcp, now);
    this.flush(now);
  }

  #takeSegment(port: DatagramPort, index: number, now: number): void {
    if (!port.take(index, now)) return;
    const { offsets, lengths, segmentSizes, pathIds } = port.messages;
    const length = lengths[index];
    const session = this.#link.port.sessionOf(index);
    const flow = this.#flows.carriedBy(session) ?? this.#flowOf(session, pathIds[index], now);
    if (flow === null) {
      this.#drops.add(DropReason.fakeTcpSessionsFull, length);
      this.#link.connections.close(session);
      return;
    }
    if (session.isClient) this.#flows.answered(flow);
    const udp = this.#ports.portOf(flow);
    if (udp === null) {
      this.#drops.add(DropReason.sendError, length);
      return;
    }
    this.#flows.use(flow, now);
    this.#outgoing.use(udp, now);
    const path = this.#ports.target ?? flow.path;
    const start = offsets[index];
    const size = segmentSizes[index] || length;
    for (let at = 0; at < length; at += size) {
      this.#outgoing.add(start + at, Math.min(size, length - at), path, now);
    }
  }

  /** The flow of a connection that was accepted: a new one, unless its client has started again from the same port. */
  #flowOf(session: Session, path: number, now: number): RelayFlow | null {
    const flow = this.#flowFrom(path, now);
    if (flow === null) return null;
    this.#flows.carry(flow, session);
    // From now on the flow's place is what counts.
    this.#link.connections.keep(session);
    return flow;
  }

  // Time.

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    return Math.min(this.#link.connections.pollAt(), this.#flows.pollAt());
  }

  /** Does what is due, and what has happened leads to. */
  poll(now: number): void {
    this.#link.connections.poll(now);
    const { events } = this.#link.connections;
    for (const event of events) this.#react(event);
    events.length = 0;
    this.#flows.poll(now);
    this.#letGo(now);
    this.flush(now);
  }

  /** Sends what waits for fake TCP; where there is no room for it, UDP is not read before there is. */
  flush(now: number): void {
    const hasLeft = this.#link.flush(now);
    if (hasLeft === this.#isUdpAwaited) return;
    this.#isUdpAwaited = hasLeft;
    this.#ports.awaitPackets(hasLeft);
  }

  /** A relay has nothing that the other end could authenticate, so that keepalives asked for are not sent. */
  #react({ kind, session, ...rest }: FakeTcpEvent): void {
    if (kind === "established") {
      this.#onReach(true);
      // As good a proof as there will be where a service never answers.
      if (session.isClient) this.#link.connections.keep(session);
    }
    if (kind !== "lost") return;
    if ("reason" in rest && rest.reason === "unanswered") this.#onReach(false);
    const flow = this.#flows.carriedBy(session);
    // Its client's next datagram begins another.
    if (flow !== null) this.#flows.end(flow);
  }

  /**
   * Takes note that interfaces, addresses or routes have changed: a connection from an address that has gone is over.
   */
  networkChanged(now: number): void {
    const link = this.#link;
    link.networkChanged();
    for (const session of link.connections.sessions) {
      if (!link.isStranded(session)) continue;
      const flow = this.#flows.carriedBy(session);
      if (flow !== null) this.#flows.end(flow);
    }
    this.#letGo(now);
  }

  /** Closes what is held for flows that are over. */
  #letGo(now: number): void {
    const { ended } = this.#flows;
    if (ended.length === 0) return;
    this.#outgoing.flush(now);
    for (const flow of ended) {
      if (flow.session !== null) this.#link.connections.close(flow.session);
      this.#ports.close(flow);
    }
    ended.length = 0;
  }
}
