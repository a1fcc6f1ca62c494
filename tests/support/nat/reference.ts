/**
 * A slow and obvious NAT, for judging the fast one: plain maps with text for keys, packets taken apart into objects and
 * rebuilt, every checksum worked out in full. It has no fragments of its own to handle and no forwards.
 *
 * Two choices are the NAT's own, external ports and ids: they are taken from what the fast one sent, and checked. With
 * a port it also chooses whether the mapping is for one remote end alone (shared ports), and what of the same client
 * ends for it.
 */
import { assert, assertEquals } from "../assert.ts";
import { buildIcmp, type Bytes } from "../packets/packet_builder.ts";
import { type Connection, isAnswer, trackClient, trackServer } from "./reference_connection.ts";
import { clampMss, decode, encode, fit, type Packet, requoted } from "./reference_packet.ts";
import { EXTERNAL, GATEWAY, type Sent } from "./world.ts";

const SECOND = 1000;

interface Mapping {
  readonly protocol: number;
  readonly address: string;
  readonly port: number;
  /** -1 until a packet has shown it. */
  external: number;
  until: number;
  readonly connections: Map<string, Connection>;
  readonly permitted: Map<string, number>;
  /** `address:port` that its first packet went to: all that it stands for, where its port is a shared one. */
  readonly firstRemote: string;
  usedAt: number;
  /** Of UDP: the ports that it has talked to, and DNS questions without an answer. */
  readonly remotePorts: Set<number>;
  questions: number;
}

export interface ReferenceOptions {
  readonly filtering: "endpoint" | "address";
  readonly externalMtu: number;
  readonly innerMtu: number;
  readonly ports: { first: number; last: number };
  /** Ports of each protocol that a client may hold. */
  readonly clientQuota: number;
}

export class ReferenceNat {
  readonly #options: ReferenceOptions;
  /**
   * By `protocol/address/port` inside, and for mappings on shared ports `/address:port` of the remote end behind it.
   */
  readonly #inner = new Map<string, Mapping>();
  /** By `protocol/port` outside, and likewise. */
  readonly #outer = new Map<string, Mapping>();
  /** By `protocol/port`: until when, and whose. */
  readonly #rests = new Map<string, { until: number; client: string }>();
  readonly #errors = new Map<string, number[]>();

  /** Mappings so far that were for one remote end alone. */
  overlaps = 0;

  constructor(options: ReferenceOptions) {
    this.#options = options;
  }

  get mappingCount(): number {
    return this.#inner.size;
  }

  /**
   * An inner endpoint whose first packet was dropped behind the making of its mapping, so that its port is not known
   * yet.
   */
  get hidden(): Pick<Mapping, "protocol" | "address" | "port" | "firstRemote"> | undefined {
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
    if (packet.protocol === 6) trackClient(mapping.connections, packet, now);
    clampMss(packet, this.#options.innerMtu - 40);

    const isHairpin = packet.destination === EXTERNAL;
    const mtu = isHairpin ? this.#options.innerMtu : this.#options.externalMtu;
    if (packet.dontFragment && bytes.length > mtu) {
      // What is quoted is the packet as it came, but for the MSS.
      return this.#error(packet, "inside", { type: 3, code: 4, mtu }, now);
    }
    const target = isHairpin
      ? this.#outside(
        packet.protocol,
        packet.destinationPort,
        `${EXTERNAL}:${mapping.external}`,
      )
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
    return { ...NOTHING, [side]: fit(packet, mtu) };
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
    const remote = remoteEnd(packet.protocol, packet.source, packet.sourcePort);
    const mapping = this.#outside(packet.protocol, packet.destinationPort, remote);
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
    return { outside: [], inside: fit(packet, mtu) };
  }

  #inside(protocol: number, address: string, port: number, remote: string): Mapping | undefined {
    const key = `${protocol}/${address}/${port}`;
    return this.#inner.get(`${key}/${remote}`) ?? this.#inner.get(key);
  }

  #outside(protocol: number, port: number, remote: string): Mapping | undefined {
    const key = `${protocol}/${port}`;
    return this.#outer.get(key) ?? this.#outer.get(`${key}/${remote}`);
  }

  #mapping(packet: Packet, now: number, actual: Sent): Mapping | null {
    const { protocol, source, sourcePort } = packet;
    const remote = remoteEnd(protocol, packet.destination, packet.destinationPort);
    let mapping = this.#inside(protocol, source, sourcePort, remote);
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
        firstRemote: remote,
        usedAt: now,
        remotePorts: new Set(),
        questions: 0,
      };
      this.#inner.set(`${protocol}/${source}/${sourcePort}`, mapping);
    }
    const [shown] = [...actual.outside, ...actual.inside].slice(0, 1).map(decode);
    if (mapping.external < 0 && shown?.source === EXTERNAL) {
      assertEquals(shown.protocol, protocol);
      this.#choose(mapping, shown.sourcePort, now);
    }
    mapping.usedAt = now;
    if (protocol === 17) {
      mapping.remotePorts.add(packet.destinationPort);
      if (packet.destinationPort === 53) mapping.questions++;
      const isWellKnown = [...mapping.remotePorts].every((port) => port < 1024);
      mapping.until = now + (isWellKnown ? 60 : 300) * SECOND;
    }
    if (protocol === 1) mapping.until = now + 60 * SECOND;
    if (protocol === 17) mapping.permitted.set(packet.destination, mapping.until);
    return mapping;
  }

  /** Takes the external port that the fast NAT chose. */
  #choose(mapping: Mapping, port: number, now: number): void {
    const { protocol, address, firstRemote } = mapping;
    const key = `${protocol}/${port}`;
    const { first, last } = this.#options.ports;
    assert(port >= first && port <= last, `port ${port} is not of the range`);
    const own = [...this.#inner.values()].filter((other) =>
      other !== mapping && other.protocol === protocol && other.address === address &&
      other.external >= 0 && !this.#isShared(other.external)
    );
    const rests = [...this.#rests].filter(([name, { until, client }]) =>
      name.startsWith(`${protocol}/`) && until > now && client === address
    );
    const isWellKnown = protocol === 17 && Number(firstRemote.split(":")[1]) < 1024;
    const quota = this.#options.clientQuota;
    const limit = isWellKnown ? quota - Math.floor(quota / 4) : quota;
    const isPressed = own.length + rests.length >= limit;
    mapping.external = port;
    if (this.#isShared(port)) {
      assert(isPressed, `port ${port} is shared without need`);
      assert(!this.#outer.has(`${key}/${firstRemote}`), `port ${port} is taken for ${firstRemote}`);
      const inner = `${protocol}/${address}/${mapping.port}`;
      this.#inner.delete(inner);
      this.#inner.set(`${inner}/${firstRemote}`, mapping);
      this.#outer.set(`${key}/${firstRemote}`, mapping);
      this.overlaps++;
      return;
    }
    const other = this.#outer.get(key);
    const rest = this.#rests.get(key);
    if (other !== undefined) {
      // One that was not used for two minutes, and longest of all, has ended for it.
      const second = (each: Mapping) => Math.floor(each.usedAt / SECOND);
      assert(
        isPressed && own.includes(other) && !isWellKnown && protocol === 17,
        `${key} is taken`,
      );
      assert(now - second(other) * SECOND >= 120 * SECOND, `${key} was in use`);
      assert(own.every((each) => second(each) >= second(other)), `${key} is not the idlest`);
      this.#inner.delete(`${protocol}/${address}/${other.port}`);
    } else if (rest !== undefined && rest.until > now) {
      assert(isPressed && rest.client === address, `port ${port} is at rest`);
      assertEquals(rest.until, Math.min(...rests.map(([, { until }]) => until)), "rested least");
    } else {
      assert(!isPressed, `port ${port} is beyond the quota`);
      assertEquals(port & 1, mapping.port & 1, "the parity of the port");
      assertEquals(port < 1024, mapping.port < 1024, "the class of the port");
    }
    this.#rests.delete(key);
    this.#outer.set(key, mapping);
  }

  #isShared(port: number): boolean {
    return (port - this.#options.ports.first) % 8 >= 6;
  }

  #admits(mapping: Mapping, packet: Packet, remote: string, port: number, now: number): boolean {
    if (packet.protocol === 1) return true;
    // TCP's remote ends may answer as long as a connection to them is kept.
    const isPermitted = packet.protocol === 6
      ? [...mapping.connections.keys()].some((key) => key.startsWith(`${remote}:`))
      : (mapping.permitted.get(remote) ?? 0) > now;
    if (this.#options.filtering === "address" && !isPermitted) return false;
    const connection = mapping.connections.get(`${remote}:${port}`);
    if (packet.protocol === 6 && connection !== undefined) {
      trackServer(connection, packet.kind, now);
    }
    if (packet.protocol === 17 && port === 53) {
      mapping.questions = Math.max(0, mapping.questions - 1);
      const asksOnly = [...mapping.remotePorts].every((each) => each === 53);
      if (mapping.questions === 0 && asksOnly) {
        mapping.until = Math.min(mapping.until, now + 20 * SECOND);
      }
    }
    return true;
  }

  #serverError(packet: Packet): Sent {
    const quoted = this.#quoted(packet, 8);
    if (quoted === null || quoted.source !== EXTERNAL || packet.timeToLive <= 1) return NOTHING;
    const { protocol, destination, destinationPort } = quoted;
    const remote = remoteEnd(protocol, destination, destinationPort);
    const mapping = this.#outside(protocol, quoted.sourcePort, remote);
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
    const remote = remoteEnd(protocol, source, sourcePort);
    const mapping = this.#inside(protocol, destination, destinationPort, remote);
    if (mapping === undefined || packet.destination !== source || packet.source !== destination) {
      return NOTHING;
    }
    const isHairpin = source === EXTERNAL;
    if (isHairpin) {
      const other = protocol === 1
        ? undefined
        : this.#outside(protocol, sourcePort, `${EXTERNAL}:${mapping.external}`);
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

  #expire(now: number): void {
    for (const [key, mapping] of this.#inner) {
      for (const [remote, connection] of mapping.connections) {
        if (connection.until <= now) mapping.connections.delete(remote);
      }
      const isOver = mapping.protocol === 6 ? mapping.connections.size === 0 : mapping.until <= now;
      if (!isOver) continue;
      this.#inner.delete(key);
      const outer = `${mapping.protocol}/${mapping.external}`;
      this.#outer.delete(`${outer}/${mapping.firstRemote}`);
      if (this.#isShared(mapping.external)) continue;
      this.#outer.delete(outer);
      this.#rests.delete(outer);
      this.#rests.set(outer, { until: now + 120 * SECOND, client: mapping.address });
    }
  }
}

/** A remote end as mappings on shared ports know it; an ICMP query has no port. */
function remoteEnd(protocol: number, address: string, port: number): string {
  return `${address}:${protocol === 1 ? 0 : port}`;
}

const NOTHING: Sent = { outside: [], inside: [] };

function isError(type: number): boolean {
  return [3, 4, 5, 11, 12].includes(type);
}
