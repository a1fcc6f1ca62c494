/** TCP connection through the NAT, segment by segment, for tests. */
import { assertEquals } from "../assert.ts";
import { buildTcp, type Bytes, type TcpFields } from "../packets/packet_builder.ts";
import { ACK, CLIENT, EXTERNAL, only, read, REMOTE, type Sent, SYN, type World } from "./world.ts";

export interface Endpoints {
  readonly client?: string;
  readonly clientPort?: number;
  readonly remote?: string;
  readonly remotePort?: number;
  /** Left out: what the client's mapping turns out to be. */
  readonly externalPort?: number;
}

export class Connection {
  readonly #world: World;
  readonly #client: string;
  readonly #clientPort: number;
  readonly #remote: string;
  readonly #remotePort: number;
  #externalPort: number | null;

  constructor(world: World, endpoints: Endpoints = {}) {
    this.#world = world;
    this.#client = endpoints.client ?? CLIENT;
    this.#clientPort = endpoints.clientPort ?? 40_000;
    this.#remote = endpoints.remote ?? REMOTE;
    this.#remotePort = endpoints.remotePort ?? 80;
    this.#externalPort = endpoints.externalPort ?? null;
  }

  /** The port that the client is seen with; -1 while it has sent nothing. */
  get externalPort(): number {
    return this.#externalPort ?? -1;
  }

  /** The client's segment. */
  out(flags: number, fields: TcpFields = {}): Sent {
    const sent = this.#world.outbound(
      buildTcp({ ...this.#outwards(this.#client), flags, ...fields }),
    );
    if (sent.outside.length === 1) {
      const packet = read(sent.outside[0]);
      assertEquals(
        [packet.source, packet.destination, packet.destinationPort, packet.timeToLive],
        [EXTERNAL, this.#remote, this.#remotePort, 63],
      );
      this.#externalPort ??= packet.sourcePort;
      assertEquals(packet.sourcePort, this.#externalPort);
    }
    return sent;
  }

  /** The remote end's segment; before the client has sent anything, to the one port that is mapped or to none. */
  in(flags: number, fields: TcpFields = {}): Sent {
    const sent = this.#world.inbound(buildTcp({
      source: this.#remote,
      sourcePort: this.#remotePort,
      destination: EXTERNAL,
      destinationPort: this.#externalPort ?? this.#mapped(),
      flags,
      ...fields,
    }));
    for (const packet of sent.inside.map((bytes) => read(bytes))) {
      assertEquals(
        [packet.source, packet.sourcePort, packet.destination, packet.destinationPort],
        [this.#remote, this.#remotePort, this.#client, this.#clientPort],
      );
    }
    return sent;
  }

  /** Shakes hands, begun by the client. */
  open(): void {
    only(this.out(SYN), "outside");
    only(this.in(SYN | ACK), "inside");
    only(this.out(ACK), "outside");
  }

  /** A segment as it stands outside, for quoting. */
  sentBy(external: string): Bytes {
    return buildTcp({ ...this.#outwards(external), sourcePort: this.externalPort });
  }

  #outwards(source: string): TcpFields {
    return {
      source,
      sourcePort: this.#clientPort,
      destination: this.#remote,
      destinationPort: this.#remotePort,
    };
  }

  /** The external port of the client's mapping: found out by a segment that leaves no trace of this connection. */
  #mapped(): number {
    if (this.#world.nat.mappingCount === 0) return 50_000;
    const reset = buildTcp({ ...this.#outwards(this.#client), flags: 4 });
    return read(only(this.#world.outbound(reset), "outside")).sourcePort;
  }
}

/** A connection whose handshake is over. */
export function connect(world: World, endpoints: Endpoints = {}): Connection {
  const connection = new Connection(world, endpoints);
  connection.open();
  return connection;
}
