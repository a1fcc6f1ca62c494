/**
 * Load for tests of the NAT's capacity: many flows, offered as fast as the NAT takes them, by packets that are patched
 * in place.
 */
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../packets/packet_builder.ts";
import { ACK, address, EXTERNAL, FIN, SYN, type World } from "./world.ts";

const PACKET_AT = 10;

export interface Ends {
  readonly client: number;
  readonly clientPort: number;
  readonly remote: number;
  readonly remotePort: number;
}

export class Load {
  /** Packets that did not leave, or did not come to the client they were for. */
  refused = 0;
  lost = 0;
  /** Whether the last packet from outside came to another client than its own, or to another port of its. */
  wasMisdelivered = false;
  readonly #world: World;
  readonly #view: DataView;
  readonly #templates = { tcp: buildTcp(), udp: buildUdp(), icmp: buildIcmp() };
  readonly #external = address(EXTERNAL);

  constructor(world: World) {
    this.#world = world;
    this.#view = world.memory.view;
  }

  /** A client's packet; the port or id it leaves with, -1 where it does not. */
  out(kind: "tcp" | "udp" | "icmp", ends: Ends, flags = ACK): number {
    const { nat: { all: [nat] }, clock } = this.#world;
    this.#put(this.#templates[kind], ends.client, ends.remote, flags);
    this.#view.setUint16(PACKET_AT + (kind === "icmp" ? 24 : 20), ends.clientPort);
    if (kind !== "icmp") this.#view.setUint16(PACKET_AT + 22, ends.remotePort);
    nat.outbound(PACKET_AT, clock.now);
    const isOut = nat.outside.length === 1;
    const port = isOut ? this.#view.getUint16(PACKET_AT + (kind === "icmp" ? 24 : 20)) : -1;
    if (!isOut) this.refused++;
    this.#drain();
    return port;
  }

  /** The remote end's packet to an external port; whether it comes to the client's. */
  in(kind: "tcp" | "udp" | "icmp", ends: Ends, port: number, flags = ACK): boolean {
    const { nat: { all: [nat] }, clock } = this.#world;
    this.#put(this.#templates[kind], ends.remote, this.#external, flags);
    if (kind === "icmp") this.#view.setUint8(PACKET_AT + 20, 0);
    else this.#view.setUint16(PACKET_AT + 20, ends.remotePort);
    const portAt = PACKET_AT + (kind === "icmp" ? 24 : 22);
    this.#view.setUint16(portAt, port);
    nat.inbound(PACKET_AT, clock.now);
    const isSomebodys = nat.inside.length === 1 && nat.outside.length === 0;
    const isIn = isSomebodys && this.#view.getUint32(PACKET_AT + 16) === ends.client &&
      this.#view.getUint16(portAt) === ends.clientPort;
    this.wasMisdelivered = isSomebodys && !isIn;
    if (!isIn) this.lost++;
    this.#drain();
    return isIn;
  }

  /** A whole TCP connection that the server closes; whether all of it passed. */
  connection(ends: Ends): boolean {
    const port = this.open(ends);
    if (port < 0) return false;
    const passed = this.in("tcp", ends, port) && this.in("tcp", ends, port, FIN | ACK);
    return passed && this.out("tcp", ends, FIN | ACK) === port && this.in("tcp", ends, port);
  }

  /** A handshake; the external port, -1 where it failed. */
  open(ends: Ends): number {
    const port = this.out("tcp", ends, SYN);
    const isOpen = port >= 0 && this.in("tcp", ends, port, SYN | ACK) &&
      this.out("tcp", ends, ACK) === port;
    return isOpen ? port : -1;
  }

  #put(template: Bytes, source: number, destination: number, flags: number): void {
    this.#world.memory.bytes.set(template, PACKET_AT);
    this.#view.setUint32(PACKET_AT + 12, source);
    this.#view.setUint32(PACKET_AT + 16, destination);
    if (template === this.#templates.tcp) this.#view.setUint8(PACKET_AT + 33, flags);
  }

  #drain(): void {
    const [nat] = this.#world.nat.all;
    nat.outside.clear();
    nat.inside.clear();
  }
}
