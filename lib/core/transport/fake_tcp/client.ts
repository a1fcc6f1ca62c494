/** Fake-TCP client: its half of the handshake (README.md, "Client"): CLOSED, SYN_SENT, ESTABLISHED. */
import type { PortRange } from "../../wire/port_range.ts";
import * as tcp from "../../wire/tcp.ts";
import {
  CHALLENGE_INTERVAL,
  SYN_AGAIN_AT,
  SYN_GIVEN_UP_AFTER,
  ZERO_WINDOW_TIME,
} from "./constants.ts";
import type { FourTuple } from "./four_tuple.ts";
import { readSynOptions } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import { Session } from "./session.ts";
import type { SessionTable } from "./session_table.ts";

export interface ClientOptions {
  readonly table: SessionTable;
  readonly writer: SegmentWriter;
  readonly ports: PortRange;
  /** Draws an unsigned 32-bit number. */
  readonly random: () => number;
}

export class FakeTcpClient {
  readonly #options: ClientOptions;
  /** All ports, the one that was not taken for longest first. */
  readonly #ports: number[];

  constructor(options: ClientOptions) {
    this.#options = options;
    const { first, last } = options.ports;
    this.#ports = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  }

  /** Opens a connection from a random port that was not in use for long; null when all are in use. */
  connect(remote: Omit<FourTuple, "localPort">, now: number): Session | null {
    const { table, writer, random } = this.#options;
    const localPort = this.#freePort(remote);
    if (localPort < 0) return null;
    const iss = random() | 0;
    const maxPayload = writer.maxPayloadOf(remote);
    const session = new Session({ ...remote, localPort }, iss, { isClient: true, maxPayload });
    table.add(session);
    writer.syn(session, now);
    session.synCount = 1;
    session.synSentAt = now;
    return session;
  }

  /** When the SYN is to be sent again, or the attempt to be given up; ms. */
  synDueAt(session: Session): number {
    return session.synSentAt + (SYN_AGAIN_AT[session.synCount - 1] ?? SYN_GIVEN_UP_AFTER);
  }

  /** Sends the SYN again if it is due; false where nothing is to be hoped for any more. */
  pollSyn(session: Session, now: number): boolean {
    if (now < this.synDueAt(session)) return true;
    if (session.synCount > SYN_AGAIN_AT.length) return false;
    session.synCount++;
    this.#options.writer.syn(session, now);
    return true;
  }

  /**
   * Takes a segment for a connection that is being opened; true when it is open now.
   *
   * RST and FIN are not believed here, where anybody could have sent them: the SYN goes on being repeated.
   */
  receive(session: Session, view: DataView, segment: number, now: number): boolean {
    const flags = tcp.flags(view, segment);
    const ack = tcp.acknowledgmentNumber(view, segment) | 0;
    if ((flags & tcp.FLAG_ACK) === 0 || (flags & (tcp.FLAG_RST | tcp.FLAG_FIN)) !== 0) return false;
    const isExpected = ack === ((session.iss + 1) | 0);
    if ((flags & tcp.FLAG_SYN) === 0) {
      // The server has a connection of ours from before a restart, and challenges: RST clears it (RFC 9293 section
      // 3.5.1).
      if (!isExpected && now - session.challengedAt >= CHALLENGE_INTERVAL) {
        session.challengedAt = now;
        this.#options.writer.refuse(session, ack);
      }
      return false;
    }
    if (!isExpected) return false;
    const { maxSegmentSize, windowShift } = readSynOptions(view, segment);
    session.establish(tcp.sequenceNumber(view, segment) | 0, windowShift !== null);
    session.peerShift = windowShift ?? 0;
    // Without the option there is no limit: our servers send it, so somebody on the way has taken it out.
    if (maxSegmentSize !== null && maxSegmentSize < session.maxPayload) {
      session.maxPayload = maxSegmentSize;
    }
    // The window of a SYN/ACK is never scaled (RFC 7323 section 2.2), nor do firewalls scale it. SYN proxies have none
    // before they have reached the server themselves; what they get meanwhile they eat.
    session.peerWindow = tcp.window(view, segment);
    if (session.peerWindow === 0) session.windowAwaitedUntil = now + ZERO_WINDOW_TIME;
    return true;
  }

  /**
   * A random port (RFC 6056 section 3.3.1): one who knows one connection's must not know the next one's. It is one of
   * the older half of them if it can be, as the other end, or a firewall, may still have the last connection from a
   * port.
   */
  #freePort({ addresses, remotePort }: Omit<FourTuple, "localPort">): number {
    const { table, random } = this.#options;
    const ports = this.#ports;
    const isFree = (localPort: number) =>
      table.ofTuple({ addresses, remotePort, localPort }) === null;
    const older = ports.slice(0, (ports.length + 1) >> 1).filter(isFree);
    const free = older.length > 0 ? older : ports.filter(isFree);
    if (free.length === 0) return -1;
    const port = free[random() % free.length]!;
    ports.splice(ports.indexOf(port), 1);
    ports.push(port);
    return port;
  }
}
