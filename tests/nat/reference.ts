/**
 * Owns a slow and obvious NAT, for judging the fast one: plain maps with text for keys, packets taken apart into objects and
 * made anew, every checksum worked out in full. It has no fragments of its own to handle, no quotas and no forwards.
 *
 * Two choices are the NAT's own, external ports and ids: they are taken from what the fast one sent, and checked.
 */
import { assert, assertEquals } from "../support/assert.ts";
import { buildIcmp, type Bytes } from "../support/packet_builder.ts";
import { checksum, clampMss, decode, encode, type Packet, requoted } from "./reference_packet.ts";
import { EXTERNAL, GATEWAY, type Sent } from "./world.ts";

const SECOND = 1000;

interface Connection {
  clientSyn: boolean;
  serverSyn: boolean;
  clientFin: boolean;
  serverFin: boolean;
  reset: boolean;
  until: number;
}

interface Mapping {
  readonly protocol: number;
  readonly address: string;
  readonly port: number;
  /** -1 until a packet has shown it. */
  external: number;
  until: number;
  readonly connections: Map<string, Connection>;
  readonly permitted: Map<string, number>;
}

export interface ReferenceOptions {
  readonly filtering: "endpoint" | "address";
  readonly externalMtu: number;
  readonly innerMtu: number;
  readonly ports: { first: number; last: number };
}

export class ReferenceNat {
  readonly #options: ReferenceOptions;
  readonly #inner = new Map<string, Mapping>();
  readonly #outer = new Map<string, Mapping>();
  readonly #rests = new Map<string, number>();
  readonly #errors = new Map<string, number[]>();

  constructor(options: ReferenceOptions) {
    this.#options = options;
  }

  get mappingCount(): number {
    return this.#inner.size;
  }

  /** An inner endpoint whose first packet was dropped behind the making of its mapping, so that its port is not known yet. */
  get hidden(): Pick<Mapping, "protocol" | "address" | "port"> | undefined {
    return [...this.#inner.values()].find(({ external }) => external < 0);
  }

  /** What a client's packet should have made the NAT send, given what it did send. */
  outbound(bytes: Bytes, now: number, actual: Sent): Sent {
    this.#expire(now);
    const packet = decode(bytes);
    if (packet.timeToLive <= 1) return this.#error(packet, "inside", { type: 11, code: 0 }, now);
    if (packet.protocol === 1 && isError(packet.kind)) {
      return this.#clientError(packet);
    }
    if (packet.protocol === 1 && (packet.kind !== 8 || packet.destination === EXTERNAL)) {
      return NOTHING;
    }
    const mapping = this.#mapping(packet, now, actual);
    if (mapping === null) return NOTHING;
    if (packet.protocol === 6) this.#trackClient(mapping, packet, now);
    clampMss(packet, this.#options.innerMtu - 40);

    const isHairpin = packet.destination === EXTERNAL;
    const mtu = isHairpin ? this.#options.innerMtu : this.#options.externalMtu;
    if (packet.dontFragment && bytes.length > mtu) {
      // What is quoted is the packet as it came, but for the MSS.
      return this.#error(packet, "inside", { type: 3, code: 4, mtu }, now);
    }
    const target = isHairpin
      ? this.#outer.get(`${packet.protocol}/${packet.destinationPort}`)
      : undefined;
    if (isHairpin) {
      if (target === undefined) return NOTHING;
      if (!this.#admits(target, packet, EXTERNAL, mapping.external, now)) return NOTHING;
    }
    packet.source = EXTERNAL;
    packet.sourcePort = mapping.external;
    if (target !== undefined) {
      packet.destination = target.address;
      packet.destinationPort = target.port;
    }
    packet.timeToLive--;
    const side = isHairpin ? "inside" : "outside";
    if (!packet.dontFragment) {
      const [first] = actual[side];
      packet.identification = first === undefined ? -1 : first[4] * 256 + first[5];
      assert(packet.identification !== 0, "an id of 0");
    }
    return { ...NOTHING, [side]: this.#fit(packet, mtu) };
  }

  /** What a packet from outside should have made the NAT send. */
  inbound(bytes: Bytes, now: number): Sent {
    this.#expire(now);
    const packet = decode(bytes);
    if (packet.destination !== EXTERNAL) return NOTHING;
    if (packet.protocol === 1 && isError(packet.kind)) {
      return this.#serverError(packet);
    }
    if (packet.protocol === 1 && packet.kind !== 0) return NOTHING;
    const mapping = this.#outer.get(`${packet.protocol}/${packet.destinationPort}`);
    if (mapping === undefined) return NOTHING;
    if (!this.#admits(mapping, packet, packet.source, packet.sourcePort, now)) return NOTHING;
    if (packet.timeToLive <= 1) return this.#error(packet, "outside", { type: 11, code: 0 }, now);
    const mtu = this.#options.innerMtu;
    if (packet.dontFragment && bytes.length > mtu) {
      return this.#error(packet, "outside", { type: 3, code: 4, mtu }, now);
    }
    clampMss(packet, mtu - 40);
    packet.destination = mapping.address;
    packet.destinationPort = mapping.port;
    packet.timeToLive--;
    return { outside: [], inside: this.#fit(packet, mtu) };
  }

  #mapping(packet: Packet, now: number, actual: Sent): Mapping | null {
    const { protocol, source, sourcePort } = packet;
    const key = `${protocol}/${source}/${sourcePort}`;
    let mapping = this.#inner.get(key);
    if (mapping === undefined) {
      if (protocol === 6 && isAnswer(packet.kind)) return null;
      mapping = {
        protocol,
        address: source,
        port: sourcePort,
        external: -1,
        until: now,
        connections: new Map(),
        permitted: new Map(),
      };
      this.#inner.set(key, mapping);
    }
    const [shown] = [...actual.outside, ...actual.inside].slice(0, 1).map(decode);
    if (mapping.external < 0 && shown?.source === EXTERNAL) {
      assertEquals(shown.protocol, protocol);
      this.#choose(mapping, shown.sourcePort, now);
    }
    if (protocol === 17) mapping.until = now + 300 * SECOND;
    if (protocol === 1) mapping.until = now + 60 * SECOND;
    if (protocol === 17) mapping.permitted.set(packet.destination, mapping.until);
    return mapping;
  }

  /** Takes the external port that the fast NAT chose. */
  #choose(mapping: Mapping, port: number, now: number): void {
    const key = `${mapping.protocol}/${port}`;
    const { first, last } = this.#options.ports;
    assert(port >= first && port <= last, `port ${port} is not of the range`);
    assert(!this.#outer.has(key), `port ${port} is taken`);
    assert((this.#rests.get(key) ?? 0) <= now, `port ${port} is at rest`);
    assertEquals(port & 1, mapping.port & 1, "the parity of the port");
    assertEquals(port < 1024, mapping.port < 1024, "the class of the port");
    mapping.external = port;
    this.#outer.set(key, mapping);
  }

  #trackClient(mapping: Mapping, packet: Packet, now: number): void {
    const key = `${packet.destination}:${packet.destinationPort}`;
    const flags = packet.kind;
    let connection = mapping.connections.get(key);
    if (connection === undefined) {
      if (isAnswer(flags)) return;
      const isOpen = (flags & 2) === 0 && mapping.connections.size > 0;
      connection = {
        clientSyn: isOpen,
        serverSyn: isOpen,
        clientFin: false,
        serverFin: false,
        reset: false,
        until: 0,
      };
      mapping.connections.set(key, connection);
    }
    if ((flags & 4) !== 0) {
      connection.reset = true;
      connection.until = Math.min(connection.until, now + 240 * SECOND);
    } else {
      if ((flags & 2) !== 0) {
        if (isOver(connection)) {
          Object.assign(connection, {
            clientSyn: false,
            serverSyn: false,
            clientFin: false,
            serverFin: false,
            reset: false,
          });
        }
        connection.clientSyn = true;
        if ((flags & 16) !== 0) connection.serverSyn = true;
      } else {
        connection.reset = false;
      }
      if ((flags & 1) !== 0) connection.clientFin = true;
      const isEstablished = connection.clientSyn && connection.serverSyn && !isOver(connection);
      connection.until = now + (isEstablished ? 7440 : 240) * SECOND;
    }
    const permitted = mapping.permitted.get(packet.destination) ?? 0;
    mapping.permitted.set(packet.destination, Math.max(permitted, connection.until));
  }

  #admits(mapping: Mapping, packet: Packet, remote: string, port: number, now: number): boolean {
    if (packet.protocol === 1) return true;
    const isPermitted = (mapping.permitted.get(remote) ?? 0) > now;
    if (this.#options.filtering === "address" && !isPermitted) return false;
    const connection = mapping.connections.get(`${remote}:${port}`);
    if (packet.protocol === 6 && connection !== undefined) {
      if ((packet.kind & 2) !== 0) connection.serverSyn = true;
      if ((packet.kind & 1) !== 0) connection.serverFin = true;
      if ((packet.kind & 4) !== 0) connection.reset = true;
      if (isOver(connection)) connection.until = Math.min(connection.until, now + 240 * SECOND);
    }
    return true;
  }

  #serverError(packet: Packet): Sent {
    const quoted = this.#quoted(packet, 8);
    if (quoted === null || quoted.source !== EXTERNAL || packet.timeToLive <= 1) return NOTHING;
    const mapping = this.#outer.get(`${quoted.protocol}/${quoted.sourcePort}`);
    if (mapping === undefined) return NOTHING;
    quoted.source = mapping.address;
    quoted.sourcePort = mapping.port;
    packet.destination = mapping.address;
    return { outside: [], inside: [requoted(packet, quoted)] };
  }

  #clientError(packet: Packet): Sent {
    const quoted = this.#quoted(packet, 0);
    if (quoted === null) return NOTHING;
    const { protocol, source, sourcePort, destination, destinationPort } = quoted;
    const mapping = this.#inner.get(`${protocol}/${destination}/${destinationPort}`);
    if (mapping === undefined || packet.destination !== source || packet.source !== destination) {
      return NOTHING;
    }
    const isHairpin = source === EXTERNAL;
    if (isHairpin) {
      const other = protocol === 1 ? undefined : this.#outer.get(`${protocol}/${sourcePort}`);
      if (other === undefined) return NOTHING;
      quoted.source = other.address;
      quoted.sourcePort = other.port;
      packet.destination = other.address;
    }
    quoted.destination = EXTERNAL;
    quoted.destinationPort = mapping.external;
    packet.source = EXTERNAL;
    const sent = [requoted(packet, quoted)];
    return isHairpin ? { outside: [], inside: sent } : { outside: sent, inside: [] };
  }

  /** The packet that an error quotes, where it can be translated. Test traffic has no broken checksums here. */
  #quoted(packet: Packet, queryType: number): Packet | null {
    if (packet.kind === 4 || packet.kind === 5) return null;
    const bytes = packet.transport.slice(8);
    if (bytes.length < 20 || bytes.length < (bytes[0] & 15) * 4 + 8) return null;
    const quoted = decode(bytes);
    if (![1, 6, 17].includes(quoted.protocol)) return null;
    return quoted.protocol === 1 && quoted.kind !== queryType ? null : quoted;
  }

  #error(
    packet: Packet,
    side: keyof Sent,
    { type, code, mtu = 0 }: { type: number; code: number; mtu?: number },
    now: number,
  ): Sent {
    if (packet.protocol === 1 && isError(packet.kind)) return NOTHING;
    const sentBefore = this.#errors.get(packet.source) ?? [];
    if (sentBefore.filter((at) => now - at < SECOND).length >= 10) return NOTHING;
    this.#errors.set(packet.source, [...sentBefore, now]);
    const error = buildIcmp({
      source: side === "inside" ? GATEWAY : EXTERNAL,
      destination: packet.source,
      typeOfService: 0xc0,
      identification: 0,
      dontFragment: true,
      timeToLive: 64,
      type,
      code,
      identifier: 0,
      sequenceNumber: mtu,
      payload: encode(packet).slice(0, 548),
    });
    return { ...NOTHING, [side]: [error] };
  }

  /** A packet as it leaves: whole, or in fragments where it is too long. */
  #fit(packet: Packet, mtu: number): Bytes[] {
    const bytes = encode(packet);
    if (bytes.length <= mtu) return [bytes];
    if (packet.options.length > 0) return [];
    const size = Math.floor((mtu - 20) / 8) * 8;
    const fragments: Bytes[] = [];
    for (let at = 0; at < bytes.length - 20; at += size) {
      const part = bytes.slice(20 + at, 20 + at + size);
      const fragment = new Uint8Array([...bytes.slice(0, 20), ...part]);
      const view = new DataView(fragment.buffer);
      view.setUint16(2, fragment.length);
      view.setUint16(6, at / 8 + (at + size < bytes.length - 20 ? 0x2000 : 0));
      view.setUint16(10, 0);
      view.setUint16(10, checksum(fragment.slice(0, 20)));
      fragments.push(fragment);
    }
    return fragments;
  }

  #expire(now: number): void {
    for (const [key, mapping] of this.#inner) {
      for (const [remote, connection] of mapping.connections) {
        if (connection.until <= now) mapping.connections.delete(remote);
      }
      const isOver = mapping.protocol === 6 ? mapping.connections.size === 0 : mapping.until <= now;
      if (!isOver) continue;
      this.#inner.delete(key);
      this.#outer.delete(`${mapping.protocol}/${mapping.external}`);
      this.#rests.set(`${mapping.protocol}/${mapping.external}`, now + 120 * SECOND);
    }
  }
}

const NOTHING: Sent = { outside: [], inside: [] };

function isError(type: number): boolean {
  return [3, 4, 5, 11, 12].includes(type);
}

function isAnswer(flags: number): boolean {
  return (flags & 4) !== 0 || (flags & 18) === 18;
}

function isOver(connection: Connection): boolean {
  return connection.reset || (connection.clientFin && connection.serverFin);
}
