/** Clients of the NAT: what each holds of each protocol, and which of its sessions it can spare first. */
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.ts";
import type { Session } from "./sessions.ts";

/**
 * Sessions of one kind that one client holds, from the one that was used longest ago to the newest; linked by the
 * sessions.
 */
export class SessionList {
  oldest: Session | null = null;
  newest: Session | null = null;

  append(session: Session): void {
    session.list = this;
    session.older = this.newest;
    session.newer = null;
    if (this.newest === null) this.oldest = session;
    else this.newest.newer = session;
    this.newest = session;
  }

  unlink(session: Session): void {
    if (session.older === null) this.oldest = session.newer;
    else session.older.newer = session.newer;
    if (session.newer === null) this.newest = session.older;
    else session.newer.older = session.older;
    session.list = session.older = session.newer = null;
  }
}

/** A client's sessions of one protocol, by what they are worth to it. */
export class SessionLists {
  /** TCP connections that both ends have closed or the client has reset, DNS questions that were answered. */
  readonly finished: SessionList = new SessionList();
  /** What is kept for a minute or a few: TCP handshakes, echoes, UDP to well-known ports. */
  readonly brief: SessionList = new SessionList();
  /** Established TCP connections, other UDP. */
  readonly lasting: SessionList = new SessionList();
}

/** What one client holds of one protocol. */
export class Share {
  readonly client: Client;
  readonly protocol: number;
  /** Ports that stand for one inner endpoint of the client's each. */
  ports = 0;
  /** Flows on ports that are shared with other flows. */
  overlaps = 0;
  /** Sessions of every kind. */
  sessions = 0;
  /** Ports at rest that the client used last: `PortAllocator` links them. -1: none. */
  resting = 0;
  oldestResting = -1;
  newestResting = -1;
  /** Sessions of the client's own ports, and those on shared ones: the end of a session gives back a port, or none. */
  readonly own: SessionLists = new SessionLists();
  readonly shared: SessionLists = new SessionLists();

  constructor(client: Client, protocol: number) {
    this.client = client;
    this.protocol = protocol;
  }

  /** Ports that count against the client: a port at rest is still the one's who used it (RFC 6888 REQ-4, REQ-8). */
  get held(): number {
    return this.ports + this.resting;
  }

  get isEmpty(): boolean {
    return this.ports + this.resting + this.overlaps + this.sessions === 0;
  }
}

/** What a client holds in all. */
export interface NatUsage {
  readonly ports: number;
  readonly sessions: number;
}

export class Client {
  readonly identity: unknown;
  readonly tcp: Share = new Share(this, PROTOCOL_TCP);
  readonly udp: Share = new Share(this, PROTOCOL_UDP);
  readonly icmp: Share = new Share(this, PROTOCOL_ICMP);
  /** Configured mappings. */
  forwards = 0;

  constructor(identity: unknown) {
    this.identity = identity;
  }

  share(protocol: number): Share {
    return protocol === PROTOCOL_TCP ? this.tcp : protocol === PROTOCOL_UDP ? this.udp : this.icmp;
  }

  get mappings(): number {
    const { tcp, udp, icmp } = this;
    return this.forwards + tcp.ports + udp.ports + icmp.ports + tcp.overlaps + udp.overlaps +
      icmp.overlaps;
  }

  /** Ports outside that count against it, forwarded ones and those at rest included; and its sessions. */
  get usage(): NatUsage {
    const { tcp, udp, icmp } = this;
    return {
      ports: this.forwards + tcp.held + udp.held + icmp.held,
      sessions: tcp.sessions + udp.sessions + icmp.sessions,
    };
  }

  get isEmpty(): boolean {
    return this.forwards === 0 && this.tcp.isEmpty && this.udp.isEmpty && this.icmp.isEmpty;
  }
}

/** Clients that hold anything, by what `clientOf` names them. */
export class Clients {
  readonly #clients = new Map<unknown, Client>();
  readonly #clientOf: (address: number) => unknown;

  /** @param clientOf whose an inner address (signed) is: addresses with one answer are one client's */
  constructor(clientOf: (address: number) => unknown) {
    this.#clientOf = clientOf;
  }

  /** The client that an inner address belongs to. */
  of(address: number): Client {
    const identity = this.#clientOf(address);
    let client = this.#clients.get(identity);
    if (client === undefined) {
      client = new Client(identity);
      this.#clients.set(identity, client);
    }
    return client;
  }

  /** The client of this identity; null when it holds nothing. */
  get(identity: unknown): Client | null {
    return this.#clients.get(identity) ?? null;
  }

  /**
   * Forgets those that hold nothing. Not to be done while a packet is under way: what it makes is counted by its
   * client.
   */
  tidy(): void {
    for (const [identity, client] of this.#clients) {
      if (client.isEmpty) this.#clients.delete(identity);
    }
  }
}
