/**
 * Fake TCP (README.md): connections that take and give datagrams, of a client, a server or both.
 *
 * Like the device, it does no I/O and reads no clock. Captured packets come in with the time; what it wants sent is
 * left in the segment queue, what it wants known or done in `events`. `poll(now)` does what is due, `pollAt()` says
 * when that is. Times are monotonic ms.
 *
 * Segments carry datagrams and are never sent again, nor put in order: that is for the connections inside the tunnel.
 */
import type { PortRange } from "../../wire/port_range.ts";
import { type DropCounters, DropReason } from "../../wire/drop_reason.ts";
import type { Memory } from "../../wire/memory.ts";
import * as tcp from "../../wire/tcp.ts";
import { ConnectionAdmission } from "./admission.ts";
import { FakeTcpClient } from "./client.ts";
import { MAX_EVENTS, MAX_FAKE_TCP_SESSIONS, MAX_WAITING } from "./constants.ts";
import { DueQueue } from "../../limits/due_queue.ts";
import { Established } from "./established.ts";
import type { FakeTcpEvent, LossReason } from "./events.ts";
import { addressesOffset, addressSize, type FourTuple, readTuple } from "./four_tuple.ts";
import { checkSegment, payloadSize, segmentOffset } from "./segment.ts";
import type { SegmentQueue } from "./segment_queue.ts";
import { SegmentWriter } from "./segment_writer.ts";
import { Refuser, Server } from "./server.ts";
import { type Session, SessionState } from "./session.ts";
import { SessionTable } from "./session_table.ts";

export interface FakeTcpOptions {
  readonly memory: Memory;
  readonly queue: SegmentQueue;
  readonly drops: DropCounters;
  /** Of the path, in bytes. */
  readonly mtu: number;
  /** Draws an unsigned 32-bit number that nobody can guess. */
  readonly random: () => number;
  /** 16 random bytes, for SYN cookies. */
  readonly secret: Uint8Array;
  /** The port at which connections are accepted; null for none. */
  readonly listenPort: number | null;
  /** The ports that `connect()` takes, none of them `listenPort`; null where it is not called. */
  readonly clientPorts: PortRange | null;
  /** Whether the caller authenticates datagrams, and says so by `authenticated()`; a relay cannot. */
  readonly authenticates: boolean;
}

export class FakeTcp {
  /** What happened since the caller last emptied it. */
  readonly events: FakeTcpEvent[] = [];

  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #drops: DropCounters;
  readonly #listenPort: number | null;
  readonly #table: SessionTable;
  readonly #admission: ConnectionAdmission;
  readonly #writer: SegmentWriter;
  readonly #client: FakeTcpClient | null;
  readonly #server: Server;
  readonly #refuser: Refuser;
  readonly #established: Established;
  readonly #due = new DueQueue<Session>();
  /** Those that `poll()` goes through, while it does. */
  readonly #polled: Session[] = [];

  constructor(options: FakeTcpOptions) {
    const { memory, queue, mtu, random, secret, clientPorts } = options;
    this.#view = memory.view;
    this.#bytes = memory.bytes;
    this.#drops = options.drops;
    this.#listenPort = options.listenPort;
    this.#table = new SessionTable(random());
    this.#admission = new ConnectionAdmission(random(), (session) => this.#evict(session));
    const [table, writer] = [this.#table, new SegmentWriter(memory, queue, mtu)];
    this.#writer = writer;
    this.#client = clientPorts === null
      ? null
      : new FakeTcpClient({ table, writer, ports: clientPorts, random });
    this.#server = new Server({ writer, secret });
    this.#refuser = new Refuser(writer, random);
    this.#established = new Established({
      view: memory.view,
      drops: options.drops,
      writer,
      server: this.#server,
      due: this.#due,
      authenticates: options.authenticates,
      report: (event) => this.#report(event),
    });
  }

  // Connections.

  /** All connections, those that are being opened included. */
  get sessions(): ReadonlySet<Session> {
    return this.#table.sessions;
  }

  /** Takes note of how long packets to the other end may be, for the connections that follow; bytes. */
  set mtu(mtu: number) {
    this.#writer.mtu = mtu;
  }

  /** Opens a connection from a fresh port; null where all are in use, or there are too many connections. */
  connect(remote: Omit<FourTuple, "localPort">, now: number): Session | null {
    if (this.#client === null || this.#table.size >= MAX_FAKE_TCP_SESSIONS) return null;
    const session = this.#client.connect(remote, now);
    if (session !== null) this.#due.arm(session, this.#client.synDueAt(session));
    return session;
  }

  /** The connection of a four-tuple, or null; see `SessionTable`. */
  find(
    view: DataView,
    remote: number,
    local: number,
    size: number,
    remotePort: number,
    localPort: number,
  ): Session | null {
    return this.#table.find(view, remote, local, size, remotePort, localPort);
  }

  /** Ends a connection, and tells the other end. */
  close(session: Session): void {
    if (session.state === SessionState.established) this.#writer.reset(session);
    this.#forget(session);
  }

  /** Ends all connections. */
  closeAll(): void {
    for (const session of this.#table.sessions) this.close(session);
  }

  // Sending.

  /**
   * Sends a datagram. Until the connection is open it waits (a copy), as few do.
   *
   * @param offset a multiple of 4, with `HEADERS6_SIZE` bytes before it that are overwritten; all stays until the
   * queue is empty
   * @param length bytes, at least 1
   * @returns false when it was dropped, which is counted
   */
  send(session: Session, offset: number, length: number, now: number): boolean {
    const reason = this.#send(session, offset, length, now);
    this.#drops.add(reason, length);
    return reason === DropReason.none;
  }

  #send(session: Session, offset: number, length: number, now: number): DropReason {
    if (session.state === SessionState.closed) return DropReason.fakeTcpNoSession;
    if (length > session.maxPayload) return DropReason.tooBig;
    if (session.state === SessionState.opening || now < session.windowAwaitedUntil) {
      if (session.waiting.length >= MAX_WAITING) return DropReason.fakeTcpNotOpen;
      session.waiting.push(this.#bytes.slice(offset, offset + length));
      if (session.state === SessionState.established) {
        this.#due.arm(session, session.windowAwaitedUntil);
      }
      return DropReason.none;
    }
    if (!session.allows(length)) return DropReason.fakeTcpWindowFull;
    if (!this.#writer.datagram(session, offset, length, now)) return DropReason.sendQueueFull;
    if (session.stallAt < session.dueAt) this.#due.arm(session, session.stallAt);
    return DropReason.none;
  }

  // Receiving.

  /**
   * Takes one captured packet, perhaps several that GRO merged, which it does with consecutive ones of one size only,
   * the last perhaps shorter.
   *
   * @param length bytes from the IP header on, padding of the link included
   * @param isVerified whether the TCP checksum is known to be right, or is not complete
   * @returns the connection that its payload, a datagram or several, has come by; null where it has none, or was
   * dropped, which is counted
   */
  receive(
    offset: number,
    length: number,
    isVerified: boolean,
    now: number,
  ): Session | null {
    const view = this.#view;
    const reason = checkSegment(view, offset, length, isVerified);
    if (reason !== DropReason.none) {
      this.#drops.add(reason, length);
      return null;
    }
    const segment = segmentOffset(view, offset);
    const remote = addressesOffset(view, offset);
    const size = addressSize(view, offset);
    const remotePort = tcp.sourcePort(view, segment);
    const localPort = tcp.destinationPort(view, segment);
    let session = this.#table.find(view, remote, remote + size, size, remotePort, localPort);
    if (session === null || session.hasChallenger) {
      const tuple = readTuple(view, offset, segment);
      session = this.#receiveUnknown(session, tuple, segment, now);
      if (session === null) return null;
    }
    if (session.state === SessionState.opening) {
      if (this.#client!.receive(session, view, segment, now)) this.#opened(session, now);
      return null;
    }
    const payload = payloadSize(view, offset);
    return this.#established.receive(session, segment, payload, now) ? session : null;
  }

  /**
   * Takes a segment of no connection, or one by which the client of a silent one may have started again. Returns the
   * connection that it belongs to.
   */
  #receiveUnknown(
    known: Session | null,
    tuple: FourTuple,
    segment: number,
    now: number,
  ): Session | null {
    const view = this.#view;
    const flags = tcp.flags(view, segment);
    const ending = tcp.FLAG_RST | tcp.FLAG_FIN;
    if (known !== null) {
      const seq = tcp.sequenceNumber(view, segment) | 0;
      const goesOn = seq === ((known.challengerIsn + 1) | 0) &&
        (flags & (tcp.FLAG_SYN | ending)) === 0;
      if (!goesOn) return known;
    }
    if (tuple.localPort === this.#listenPort) {
      if ((flags & (tcp.FLAG_SYN | tcp.FLAG_ACK)) === tcp.FLAG_SYN) {
        if ((flags & ending) === 0) this.#server.answer(tuple, view, segment);
        else this.#drops.add(DropReason.fakeTcpBadSegment);
        return null;
      }
      const session = (flags & (tcp.FLAG_SYN | ending)) === 0
        ? this.#server.open(tuple, view, segment)
        : null;
      if (session !== null) return this.#accept(session, known, now);
    }
    if (known !== null) return known;
    this.#drops.add(DropReason.fakeTcpNoSession);
    this.#refuser.refuse(tuple, view, segment, now);
    return null;
  }

  /** Lets a connection in, in place of the one that it replaces. */
  #accept(session: Session, replaced: Session | null, now: number): Session {
    if (replaced !== null) this.#lose(replaced, "replaced");
    this.#admission.add(session);
    this.#table.add(session);
    this.#opened(session, now);
    return session;
  }

  /**
   * The handshake is over: an ACK says so. A server's tells firewalls of its scaled window, which the SYN/ACK did not.
   */
  #opened(session: Session, now: number): void {
    session.establishedAt = session.receivedAt = now;
    this.#report({ kind: "established", session });
    if (session.isClient) this.#writer.acknowledge(session, now);
    else session.mustAcknowledge = true;
    if (now >= session.windowAwaitedUntil) this.#established.sendWaiting(session, now);
    this.#due.arm(session, this.#dueAt(session));
  }

  /**
   * Takes note that a datagram which the last `receive()` brought, from this connection, was authentic: of this client.
   */
  authenticated(session: Session, client: object, now: number): void {
    this.#established.authenticated(session, now);
    this.#prove(session, client);
  }

  /**
   * The same by who has judged it in another thread: of `length` bytes, the last before `end`, of the connection with
   * this number, which may be over.
   */
  authenticatedUpTo(
    number: number,
    end: number,
    length: number,
    client: object,
    now: number,
  ): void {
    const session = this.#table.numbered(number);
    if (session === null || session.state !== SessionState.established) return;
    this.#established.authenticatedUpTo(session, end, length, now);
    this.#prove(session, client);
  }

  #prove(session: Session, client: object): void {
    if (session.isProven || session.state === SessionState.closed) return;
    if (session.isClient || this.#admission.prove(session, client)) this.keep(session);
  }

  /** Keeps a connection for as long as it is in use: the caller sees to it that there are not too many. */
  keep(session: Session): void {
    if (session.isProven) return;
    session.isProven = true;
    this.#admission.release(session);
    this.#due.arm(session, this.#dueAt(session));
  }

  // Time.

  /** When `poll()` has something to do at the earliest; `Infinity` for never. */
  pollAt(): number {
    return this.#due.at;
  }

  /**
   * Does what is due. Costs one comparison when nothing is, and else as much as is due, however many connections there
   * are.
   */
  poll(now: number): void {
    const due = this.#due;
    if (now < due.at) return;
    const polled = this.#polled;
    for (let session = due.take(now); session !== null; session = due.take(now)) {
      polled.push(session);
    }
    for (const session of polled) this.#poll(session, now);
    polled.length = 0;
  }

  #poll(session: Session, now: number): void {
    if (session.state === SessionState.closed) return;
    if (session.state === SessionState.opening) {
      if (!this.#client!.pollSyn(session, now)) this.#lose(session, "unanswered");
    } else {
      const reason = this.#established.poll(session, now);
      if (reason !== null) this.#lose(session, reason);
    }
    // As `#lose()` closes it.
    if ((session.state as SessionState) !== SessionState.closed) {
      this.#due.arm(session, this.#dueAt(session));
    }
  }

  #dueAt(session: Session): number {
    return session.state === SessionState.opening
      ? this.#client!.synDueAt(session)
      : this.#established.dueAt(session);
  }

  #lose(session: Session, reason: LossReason): void {
    if (this.#forget(session)) this.#report({ kind: "lost", session, reason });
  }

  #evict(session: Session): void {
    this.#drops.add(DropReason.fakeTcpSessionsFull);
    this.#writer.reset(session);
    this.#lose(session, "evicted");
  }

  /** Takes a connection, which is over, out of all tables; false if it was already. */
  #forget(session: Session): boolean {
    this.#admission.remove(session);
    this.#due.remove(session);
    return this.#table.remove(session);
  }

  #report(event: FakeTcpEvent): void {
    if (this.events.length < MAX_EVENTS) this.events.push(event);
  }
}
