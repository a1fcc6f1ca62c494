/** Record kinds: what of clients a gateway keeps where `DnsQueryLog` and `FlowLog` ask for it. */
import type { ClientRecord, ClientRecordKind } from "./record_file.ts";

/** A query to the DNS proxy. */
export interface ClientQuery extends ClientRecord {
  /** What the peer is called. */
  readonly name: string | null;
  /** As in `example.org`, and `AAAA`. */
  readonly question: string;
  readonly type: string;
  /** Who has answered: a resolver, or the proxy by its cache, the peers' names or its lists of blocked names. */
  readonly source: string;
  /** As in `NXDOMAIN`; null where there was no answer. */
  readonly code: string | null;
}

/**
 * A flow inside the tunnel, or a part of one. The source is the end that began; the client is the peer that has its
 * address, or else the one that has the destination's. `time` is that of the last packet.
 */
export interface ClientFlow extends ClientRecord {
  readonly name: string | null;
  /** Of the first packet, Unix ms. */
  readonly begun: number;
  /** As in `tcp`, or a number. */
  readonly protocol: string;
  readonly source: string;
  /** Null for a protocol without ports. */
  readonly sourcePort: number | null;
  readonly destination: string;
  readonly destinationPort: number | null;
  /** Where both ends are peers: the one at the destination, and what that is called. */
  readonly toClient: string | null;
  readonly toName: string | null;
  /** Bytes of packets inside, from the source and to it. */
  readonly sent: number;
  readonly received: number;
}

/** In the header is "vpnq". */
export const QUERIES: ClientRecordKind<ClientQuery> = {
  applicationId: 0x76706e71,
  version: 1,
  table: "query",
  columns: {
    time: "INTEGER NOT NULL",
    client: "TEXT NOT NULL",
    name: "TEXT",
    question: "TEXT NOT NULL",
    type: "TEXT NOT NULL",
    source: "TEXT NOT NULL",
    code: "TEXT",
  },
};

/** In the header is "vpnf". */
export const FLOWS: ClientRecordKind<ClientFlow> = {
  applicationId: 0x76706e66,
  version: 1,
  table: "flow",
  columns: {
    time: "INTEGER NOT NULL",
    client: "TEXT NOT NULL",
    name: "TEXT",
    begun: "INTEGER NOT NULL",
    protocol: "TEXT NOT NULL",
    source: "TEXT NOT NULL",
    sourcePort: "INTEGER",
    destination: "TEXT NOT NULL",
    destinationPort: "INTEGER",
    toClient: "TEXT",
    toName: "TEXT",
    sent: "INTEGER NOT NULL",
    received: "INTEGER NOT NULL",
  },
};
