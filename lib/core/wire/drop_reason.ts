/**
 * Drop reasons: why a packet is dropped, the names of that in status and metrics, and the counters.
 *
 * Bad input is a value, never an exception: what judges a packet returns a `DropReason`, and 0 means "good". The
 * numbers index an array and may change between versions; the names are the stable ones.
 */

export const DropReason = {
  /** The packet is good. */
  none: 0,

  // Inner packets, in the order in which `checkIpv4` looks (lib/core/nat/README.md, "Boundaries").
  /** Nothing there: zero bytes. In the tunnel an empty packet is a keepalive and never comes this far. */
  empty: 1,
  /** Version 6, where the tunnel has no IPv6 address: never sent, never translated. */
  ipv6: 2,
  /** A version other than 4 and 6. */
  badVersion: 3,
  /** Fewer bytes than the smallest IPv4 header. */
  short: 4,
  /** A header length under five words, or beyond the total length. */
  badHeaderLength: 5,
  /** A total length beyond what was received. */
  badTotalLength: 6,
  /** The header checksum is wrong. */
  badHeaderChecksum: 7,
  /** The source is none of the sending peer's addresses. Stops a peer from speaking for another. */
  spoofedSource: 8,
  /** An option whose length does not fit the header. */
  badOption: 9,
  /** Loose or strict source routing. Stops a sender from choosing the path, and so the filters, itself. */
  sourceRoute: 10,
  /** To "this network", loopback, link-local, multicast, class E or the limited broadcast. */
  badDestination: 11,
  /** From "this network", loopback, link-local, multicast or class E: no answer could ever reach it. */
  badSource: 12,
  /** To a network of one of the gateway's interfaces, where `EgressAllow` does not name it. */
  privateDestination: 13,
  /** Source and destination alike ("LAND"). */
  sourceEqualsDestination: 14,
  /** The TCP, UDP or ICMP header is cut off, or its own length field cannot be right. */
  shortTransportHeader: 15,
  /** A first fragment that does not hold the whole transport header (RFC 1858 section 3: "tiny fragment"). */
  tinyFragment: 16,
  /** A TCP fragment at offset 1, which would overwrite the flags of the first (RFC 1858 section 4). */
  tcpFragmentOffset: 17,

  // Datagrams from the network.
  /** Not one of the four WireGuard message types, or its reserved bytes are not zero. */
  unknownMessage: 18,
  /** A length that the message type cannot have. */
  badMessageLength: 19,
  /** The first MAC is wrong: the sender does not know our public key. */
  badMac1: 20,
  /** The cookie MAC is wrong where one is asked for. */
  badCookie: 21,
  /** Under load: a cookie reply went out in place of an answer. */
  cookieSent: 22,
  /** More handshakes from one address than the token bucket lets through. */
  handshakeRateLimited: 23,
  /** A handshake message that does not decrypt, or answers no handshake of ours. */
  badHandshake: 24,
  /** A good handshake of a static key that is no peer's. */
  unknownPeer: 25,
  /** A timestamp not after the last one of this peer: a replayed initiation. */
  staleTimestamp: 26,
  /** A good initiation too soon after the one before it from the same peer. */
  handshakeTooSoon: 27,
  /** A receiver index that names no session and no handshake. */
  unknownIndex: 28,
  /** A session past its lifetime or its message limit. */
  expiredKey: 29,
  /** A counter seen before or older than the replay window. */
  replayed: 30,
  /** The authentication tag is wrong. */
  badTag: 31,

  // Packets on their way out.
  /** No peer's allowed IPs contain the destination. */
  noRoute: 32,
  /** The peer has no endpoint yet. */
  noEndpoint: 33,
  /** The queue of packets that wait for a handshake is full, or was given up with the handshake. */
  noSession: 34,
  /** The send queue is full. */
  sendQueueFull: 35,
  /** Longer than the inner MTU. */
  tooBig: 36,
  /** For the internet, with no egress configured, or while no interface leads there. */
  noEgress: 37,
  /** From one client to another where `ClientToClient = off`. */
  clientToClientOff: 38,

  // Sockets and the TUN.
  /** The kernel refused a datagram. */
  sendError: 39,
  /** A datagram longer than the receive buffer. */
  truncatedDatagram: 40,
  /** The kernel refused a packet written to the TUN. */
  tunWriteError: 41,
  /** A packet read from the TUN that is longer than the read buffer, or has a bad virtio-net header. */
  badTunRead: 42,
  /** The cipher library refused to encrypt. */
  sealError: 43,

  // The NAT.
  /** The time to live ran out here. */
  ttlExceeded: 44,
  /** DF is set and the packet is longer than the next link takes. */
  fragmentationNeeded: 45,
  /** A protocol, or a kind of ICMP, that has no ports to translate. */
  natUnsupportedProtocol: 46,
  /** From outside to a port that stands for nobody. */
  natNoMapping: 47,
  /** From a host outside that the client has not written to, where that is asked for. */
  natFiltered: 48,
  /** The client holds as many mappings as it may, or all sessions are taken. */
  natQuota: 49,
  /** No external port is free. */
  natPortsExhausted: 50,
  /** An ICMP error that is broken, or quotes a broken packet. */
  natBadIcmp: 51,
  /** Too many fragments wait for their first, or a client's first never came. */
  natFragment: 52,
  /** The kernel dropped captured packets before we read them. */
  captureOverflow: 53,
  /** The queue of packets for this host is full. */
  hostQueueFull: 54,

  // Fake TCP.
  /** No TCP segment that could be ours: a fragment, a wrong checksum, flags that make no sense here. */
  fakeTcpBadSegment: 55,
  /** A segment of a connection that there is not, or none any more. */
  fakeTcpNoSession: 56,
  /** A sequence or acknowledgment number that the connection cannot have now. */
  fakeTcpOutOfWindow: 57,
  /** More would be on its way than the other end's window allows: a strict firewall would drop it. */
  fakeTcpWindowFull: 58,
  /** No room for another datagram to wait until the connection is open. */
  fakeTcpNotOpen: 59,
  /** No room for another connection. */
  fakeTcpSessionsFull: 60,

  /** More than the peer's `RateLimit` lets through. */
  rateLimited: 61,
  /** More handshake messages than are looked at, or answered, in a second. */
  handshakeFlood: 62,

  // Where clients may go.
  /** To an address that `EgressDeny` names. */
  egressDenied: 63,
  /** More than may be sent to where a peer seems to be, but has not shown that it receives. */
  endpointUnproven: 64,
  /**
   * Marked by a router as one that met congestion, though its transport does not take marks: a drop is what it answers
   * to.
   */
  congestionMark: 65,
  /** From port 0, where no answer can go (RFC 768); or to be answered by one path more than are kept. */
  noPath: 66,
  /** The kernel dropped datagrams of UDP before we read them: the socket's buffer was full. */
  receiveOverflow: 67,

  // Of IPv6 inside, besides what it has in common with IPv4.
  /** An extension header that is not carried, hop-by-hop options among them, that does not fit, or is one too many. */
  badExtensionHeader: 68,
  /** ICMPv6 of the hosts of one link among each other: neighbour discovery, router advertisements, redirects. */
  linkOnly: 69,

  /** From or to a peer that has used up its `Quota`. */
  quotaReached: 70,
  /** To where `Allow` and `Deny` do not let the peer go; or of a flow that they have ended. */
  accessDenied: 71,
  /** For a published service that has no back end now: all are down or drained. */
  noBackEnd: 72,
  /** A good initiation of a peer that has no session, while the store of the peers has been away for too long. */
  notAdmitted: 73,
  /** A message between gateways of a fleet that makes no sense, or comes from one that has no say now. */
  badFleetMessage: 74,
  /**
   * To begin a connection to a back end outside the tunnel, from an address that has not shown that it receives, while
   * many such come: it was asked to show it.
   */
  sourceUnproven: 75,
  /** For a peer at another gateway of the fleet, to which there is no way now; or from there, for one that has left. */
  peerElsewhere: 76,
  /** An ICMP error of a peer's about a packet that was not on its way to that peer, or that does not say of which. */
  foreignIcmpError: 77,
} as const;

/** Why a packet is dropped; 0 (`none`) for a good one. */
export type DropReason = (typeof DropReason)[keyof typeof DropReason];

/** The name of each reason by its number, in snake case, as in status, metrics and the log. */
export const DROP_REASON_NAMES: readonly string[] = Object.keys(DropReason).map((key) =>
  key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
);

/**
 * How many packets were dropped for each reason. Float64 numbers: exact up to 2^53, never through a 32-bit operator.
 */
export class DropCounters {
  /** Indexed by `DropReason`; index 0 stays 0. */
  readonly counts: Float64Array<ArrayBuffer> = new Float64Array(DROP_REASON_NAMES.length);

  /** Bytes of the last packet dropped for each reason, for the log. */
  readonly lastLengths: Int32Array<ArrayBuffer> = new Int32Array(DROP_REASON_NAMES.length);
  /** All drops together. */
  total = 0;

  /** Counts one packet of `length` bytes; `none` is not counted, so that a verdict can be passed on as it is. */
  add(reason: DropReason, length = 0): void {
    if (reason === DropReason.none) return;
    this.counts[reason]! += 1;
    this.lastLengths[reason] = length;
    this.total += 1;
  }

  /** Counts as many, which another thread has counted. */
  addMany(reason: DropReason, count: number): void {
    this.counts[reason]! += count;
    this.total += count;
  }
}
