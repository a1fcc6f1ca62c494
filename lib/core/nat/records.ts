/**
 * Records of the flow table: sessions, the mappings that they keep alive, and the clients that hold them. They refer to
 * one another, so they are in one file; the tables that create, find and remove them are apart, and each is understood
 * without the others.
 */
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.ts";
import { SECOND } from "./constants.ts";

/** In place of a remote port: all of them. */
export const ANY_PORT = -1;

/** What keeps a mapping alive, or what permits a remote address to answer. */
export class NatSession {
  // What each packet asks for, side by side, and all small integers: a time in ms would be an object of its own.
  /** When its client last used it, in seconds and ms on top; and ms for which it is kept from then. */
  usedSecond = -1;
  usedFraction = 0;
  /** Of TCP and UDP, what has been seen, in bits of each protocol's own. */
  seen = 0;
  timeout = 0;
  /** In its list, the one that was used next; null for the newest. */
  newer: NatSession | null = null;
  readonly mapping: Mapping;
  /** Signed. */
  readonly remoteAddress: number;
  /** Or `ANY_PORT`: it stands for all ports of its address, as what filtering goes by. */
  readonly remotePort: number;
  /** The next in its bucket. */
  next: NatSession | null = null;
  /** Its place among its client's. */
  list: SessionList | null = null;
  /** DNS questions that wait for an answer. */
  questions = 0;

  older: NatSession | null = null;
  /** Its place in the timer wheel, and the second of that slot. */
  slot = -1;
  dueSecond = -1;
  nextDue: NatSession | null = null;
  previousDue: NatSession | null = null;
  /** Where a connection's remote address may answer as long as it lives: that session, and its count of such. */
  permission: NatSession | null = null;
  references = 0;

  constructor(mapping: Mapping, remoteAddress: number, remotePort: number) {
    this.mapping = mapping;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  get usedAt(): number {
    return this.usedSecond * SECOND + this.usedFraction;
  }

  get expiresAt(): number {
    return this.usedAt + this.timeout;
  }
}

/** An inner endpoint and the external port that stands for it, with the sessions that keep it alive. */
export class Mapping {
  // What each packet asks for, side by side.
  readonly protocol: number;
  /** Signed. */
  readonly innerAddress: number;
  /** For ICMP, the ports are ids. */
  readonly innerPort: number;
  readonly externalPort: number;
  /** The one session that keeps it alive; null for one that is static, and for TCP's where each connection does. */
  life: NatSession | null = null;
  /** Of a back end: which one, and the address outside of its service, signed; 0 for the gateway's. */
  backEnd: BackEnd | null = null;
  externalAddress = 0;
  /** The table that would find it first by its inner endpoint, see `MappingTable.findInner()`; null for none. */
  foundIn: unknown = null;
  /** The next in its bucket. */
  next: Mapping | null = null;
  /** Where its sessions stand among its client's. */
  readonly lists: SessionLists;
  readonly share: Share;
  /** Configured: never expires. */
  readonly isStatic: boolean;
  /** Where it stands for no inner endpoint, but for a published service, whose back ends have mappings of their own. */
  service: PublishedService | null = null;

  /** The only remote end of a mapping on a shared port; else 0 and `ANY_PORT`. The address is signed. */
  readonly remoteAddress: number;
  readonly remotePort: number;
  /** Sessions that keep it alive. */
  connections = 0;
  isRemoved = false;
  /** The next in its other bucket, by what is seen outside, of a mapping on a shared port. */
  nextOutside: Mapping | null = null;

  constructor(
    share: Share,
    endpoint: MappedEndpoint,
    isStatic: boolean,
    remoteAddress = 0,
    remotePort = ANY_PORT,
  ) {
    this.protocol = share.protocol;
    this.innerAddress = endpoint.innerAddress;
    this.innerPort = endpoint.innerPort;
    this.externalPort = endpoint.externalPort;
    this.lists = remotePort === ANY_PORT ? share.own : share.shared;
    this.share = share;
    this.isStatic = isStatic;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  /** Loads what each packet asks for, see `Loadable`. */
  load(): number {
    const { life } = this;
    return this.innerPort ^ this.externalAddress ^ (life === null ? 0 : life.seen);
  }

  /** Whether it stands for its inner endpoint towards one remote end alone. */
  get isShared(): boolean {
    return this.remotePort !== ANY_PORT;
  }
}

/** A published service, as far as its packets are concerned. */
export interface PublishedService {
  /** Its number among all. */
  readonly id: number;
  readonly protocol: number;
  /** Signed; 0 for the gateway's address outside, whatever that is. */
  readonly address: number;
  readonly port: number;
  /** Whether it is remembered which flow has which back end: with a single one inside, there is no need. */
  readonly keepsFlows: boolean;
  /** The back end for a new flow of this hash; null where none may be chosen. */
  choose(hash: number): BackEnd | null;
}

/** One of those that a published service is handed to. */
export class BackEnd {
  readonly service: PublishedService;
  /** What the configuration calls it, as in `web-1:8443`. */
  readonly name: string;
  /** The endpoint that packets for it get, and in which its own are known again. */
  readonly mapping: Mapping;
  /** Reached by the uplink, not through the tunnel: what it gets is from an address and a port of the gateway's. */
  readonly isOutside: boolean;
  /** Its number among those of all services. */
  id = -1;
  isUp = true;
  isDraining = false;
  /** Flows that it has, but for those that are over; and how many it was given in all. */
  open = 0;
  total = 0;
  /** Of one outside, by place of the port: the flow, plus 1, that has it; 0 for none. */
  ports: Int32Array | null = null;

  constructor(service: PublishedService, name: string, mapping: Mapping, isOutside: boolean) {
    this.service = service;
    this.name = name;
    this.mapping = mapping;
    this.isOutside = isOutside;
  }

  /** Whether it may be given new flows. */
  get isEligible(): boolean {
    return this.isUp && !this.isDraining;
  }
}

/** An inner endpoint and the external port that stands for it. */
export type MappedEndpoint = Pick<Mapping, "innerAddress" | "innerPort" | "externalPort">;

/**
 * Sessions of one kind that one client holds, from the one that was used longest ago to the newest; linked by the
 * sessions.
 */
export class SessionList {
  oldest: NatSession | null = null;
  newest: NatSession | null = null;

  append(session: NatSession): void {
    session.list = this;
    session.older = this.newest;
    session.newer = null;
    if (this.newest === null) this.oldest = session;
    else this.newest.newer = session;
    this.newest = session;
  }

  unlink(session: NatSession): void {
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

/** A client: what it holds of each protocol. */
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
