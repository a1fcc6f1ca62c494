/**
 * A segment sender between a client and a server in namespaces of their own, a router between them; and TCP flows to
 * send by it.
 */
import { Arena } from "../../../ffi/arena.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { SegmentSender } from "../../../lib/dataplane/egress/segment_sender.ts";
import type { TestNamespace, Topology } from "../../support/net.ts";
import { buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { withoutIpv6Autoconfiguration } from "./host_state.ts";
import type { Captured } from "./outside.ts";

export const PROGRAMS = { programs: ["ip", "ping", "sysctl"] };
export const CLIENT = "192.0.2.2";
export const SERVER = "198.51.100.2";
export const ROUTER = "192.0.2.1";
export const DEVICE = "eth0";
export const ROUTER_DEVICE = "eth1";
const ARENA_SIZE = 8 * 1024 * 1024;
/** What fills an MTU of 1,500. */
export const PAYLOAD_SIZE = 1460;
export const ACK = 0x10;
const PSH = 0x08;
const SEQUENCE_NUMBER = 0xffff_f000;

interface Way {
  readonly client: TestNamespace;
  readonly router: TestNamespace;
  readonly server: TestNamespace;
}

/** Joins a client and a server by a router; each knows its neighbours. */
export async function layWay(topology: Topology): Promise<Way> {
  const [client, router, server] = ["client", "router", "server"].map((label) => {
    const namespace = topology.namespace(label);
    withoutIpv6Autoconfiguration(namespace);
    return namespace;
  }) as [TestNamespace, TestNamespace, TestNamespace];
  topology.cable(
    { namespace: client, name: DEVICE, address: `${CLIENT}/24` },
    { namespace: router, name: DEVICE, address: `${ROUTER}/24` },
  );
  topology.cable(
    { namespace: server, name: DEVICE, address: `${SERVER}/24` },
    { namespace: router, name: ROUTER_DEVICE, address: "198.51.100.1/24" },
  );
  await client.output(["ip", "route", "add", "default", "via", ROUTER]);
  await server.output(["ip", "route", "add", "default", "via", "198.51.100.1"]);
  await router.output(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await client.output(["ping", "-n", "-q", "-c", "1", "-w", "5", SERVER]);
  return { client, router, server };
}

interface Flow {
  readonly count: number;
  /** Bytes of payload; the last segment may have less than the others. */
  readonly size?: number;
  readonly lastSize?: number;
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  /** As the segments arrive behind a router: PSH on the last only. */
  readonly delivered?: boolean;
}

/** One flow's consecutive segments. */
export function flow(
  { count, size = PAYLOAD_SIZE, lastSize = size, delivered = false, ...fields }: Flow,
): Bytes[] {
  return Array.from({ length: count }, (_, index) =>
    buildTcp({
      source: CLIENT,
      destination: SERVER,
      sourcePort: 40_000,
      destinationPort: 443,
      ...fields,
      sequenceNumber: (SEQUENCE_NUMBER + index * size) >>> 0,
      acknowledgmentNumber: 77,
      identification: index + 1,
      dontFragment: true,
      timeToLive: delivered ? 63 : 64,
      flags: delivered && index < count - 1 ? ACK : ACK | PSH,
      payload: new Uint8Array(index === count - 1 ? lastSize : size).fill(index + 1),
    }));
}

/** One flow's datagrams of UDP; the last one is shorter. */
export function datagrams(count: number, identification = 1): Bytes[] {
  return Array.from({ length: count }, (_, index) =>
    buildUdp({
      source: CLIENT,
      destination: SERVER,
      sourcePort: 40_000,
      destinationPort: 443,
      identification: identification + index,
      dontFragment: true,
      timeToLive: 64,
      payload: new Uint8Array(index === count - 1 ? 99 : 1400).fill(index + 1),
    }));
}

/** The segment as fake TCP leaves it: both checksums are still to be written. */
export function unfinished(packet: Uint8Array): Bytes {
  const copy = packet.slice();
  new DataView(copy.buffer).setUint16(10, 0xbad);
  new DataView(copy.buffer).setUint16(36, 0xbad);
  return copy;
}

/** Sends from a namespace, as fake TCP does. */
export class Sender implements Disposable {
  readonly sender: SegmentSender;
  readonly #arena = new Arena(ARENA_SIZE);
  readonly #space: number;
  #last = { offsets: new Int32Array(), lengths: new Int32Array() };

  constructor(
    namespace: TestNamespace,
    options: {
      readonly offload?: boolean;
      readonly own?: boolean;
      readonly mark?: number;
      readonly libc?: Libc;
    } = {},
  ) {
    const { offload = true, own = true, mark = 0, libc = openLibc() } = options;
    this.sender = namespace.inside(() =>
      SegmentSender.open(libc, this.#arena, {
        ...{ offload, own, ipv6: true, mark, device: null, bufferSize: 4 * 1024 * 1024 },
      })
    );
    this.#space = this.#arena.allocate(ARENA_SIZE / 2);
  }

  send(...packets: readonly Uint8Array[]): number {
    let next = this.#space;
    const offsets = Int32Array.from(packets, (packet) => {
      const offset = next;
      this.#arena.bytes.set(packet, offset);
      next += (packet.length + 3) & ~3;
      return offset;
    });
    this.#last = { offsets, lengths: Int32Array.from(packets, ({ length }) => length) };
    return this.sendAgain();
  }

  sendAgain(): number {
    return this.sender.send(this.#last, 0, this.#last.offsets.length, 0);
  }

  [Symbol.dispose](): void {
    this.sender[Symbol.dispose]();
  }
}

/** A kernel that refuses frames with the error numbers of `errors`, one after the other, and then takes them. */
export function refusing(errors: readonly number[]): Libc {
  const libc = openLibc();
  const AF_PACKET = 17;
  const script = [...errors];
  let frames = -1;
  let errno: number | null = null;
  const symbols = {
    ...libc.symbols,
    socket(domain: number, type: number, protocol: number) {
      const fd = libc.symbols.socket(domain, type, protocol);
      if (domain === AF_PACKET) frames = fd;
      return fd;
    },
    sendmmsg(fd: number, messages: Deno.PointerValue, count: number, flags: number) {
      errno = fd === frames ? script.shift() ?? null : null;
      return errno === null ? libc.symbols.sendmmsg(fd, messages, count, flags) : -1;
    },
  };
  return { symbols, errno: () => errno ?? libc.errno() };
}

export function isTcp(packet: Uint8Array): boolean {
  return packet[9] === 6;
}

export function payloadOf({ packet }: Captured): Uint8Array {
  return packet.subarray(40);
}

export function segmentSizeOf({ header }: Captured): number {
  return new DataView(header.buffer).getUint16(4, true);
}

export function payloads(packets: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(packets.flatMap((packet) => [...packet.subarray(40)]));
}
