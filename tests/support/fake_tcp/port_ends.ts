/**
 * Two ends of fake TCP as the engine has them: ports, with queues, and a wire in memory between them.
 */
import { FakeTcpPort } from "../../../lib/core/engine/fake_tcp_port.ts";
import {
  FakeTcpWorkers,
  type FakeTcpWorkersOptions,
} from "../../../lib/core/engine/fake_tcp_workers.ts";
import { HEADERS6_SIZE } from "../../../lib/core/transport/fake_tcp/constants.ts";
import { FakeTcp } from "../../../lib/core/transport/fake_tcp/fake_tcp.ts";
import { SegmentQueue } from "../../../lib/core/transport/fake_tcp/segment_queue.ts";
import { SendQueue } from "../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";
import { DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assert } from "../assert.ts";
import type { Bytes } from "../packets/packet_builder.ts";
import { Random } from "../random.ts";
import { MemorySegments } from "./memory_segments.ts";
import { CLIENT_PORTS, hostAddress, MTU, SERVER_ADDRESS, SERVER_PORT, toServer } from "./world.ts";

/** Who opens transport messages at an end that leaves this to workers. */
export type WorkersOfEnd = Pick<
  FakeTcpWorkersOptions,
  "toWorkers" | "fromWorkers" | "hasSession" | "peerOf"
>;

const SLOTS = 64;
const SLOT_SIZE = SendQueue.slotSize(MTU);
const SEGMENTS_AT = SLOTS * SLOT_SIZE;
const ARRIVING_AT = SEGMENTS_AT + SLOTS * SegmentQueue.slotSize(MTU + HEADERS6_SIZE);

/** One end, a client or a server. */
export class PortEnd {
  readonly memory = createMemory(ARRIVING_AT + MemorySegments.size);
  readonly drops = new DropCounters();
  readonly wire = new MemorySegments(this.memory, ARRIVING_AT);
  readonly datagrams = new SendQueue({ offset: 0, slots: SLOTS, slotSize: SLOT_SIZE });
  readonly port: FakeTcpPort;
  /** Null where there are no workers. */
  readonly workers: FakeTcpWorkers | null;

  constructor(isServer: boolean, workers: WorkersOfEnd | null = null) {
    const { memory, drops } = this;
    const random = new Random(isServer ? 1 : 2);
    const slotSize = SegmentQueue.slotSize(MTU + HEADERS6_SIZE);
    const queue = new SegmentQueue({ offset: SEGMENTS_AT, slots: SLOTS, slotSize });
    const listenPort = isServer ? SERVER_PORT : null;
    const connections = new FakeTcp({
      memory,
      queue,
      drops,
      mtu: MTU,
      random: () => random.uint32(),
      secret: random.bytes(16),
      listenPort,
      clientPorts: isServer ? null : CLIENT_PORTS,
      authenticates: true,
    });
    const segments = this.wire;
    const { paths } = this.datagrams;
    this.workers = workers && new FakeTcpWorkers({
      ...workers,
      memory,
      paths,
      connections,
      drops,
      maxDatagram: MTU,
    });
    this.port = new FakeTcpPort({
      memory,
      paths,
      connections,
      queue,
      segments,
      listenPort,
      drops,
      workers: this.workers,
    });
  }

  /** Puts datagrams into the queue, for the server, or the sender of the last message. */
  queue(...texts: string[]): void {
    for (const text of texts) {
      const at = this.datagrams.reserve();
      this.memory.bytes.set(new TextEncoder().encode(text), at);
      const { paths } = this.datagrams;
      const address = hostAddress(SERVER_ADDRESS);
      const path = paths.internEnd({ address, port: SERVER_PORT }, Transport.fakeTcp);
      this.datagrams.commit(text.length, path);
    }
  }

  /** Sends a datagram by the path that one came by. */
  answer(path: number, text: string): void {
    this.memory.bytes.set(new TextEncoder().encode(text), this.datagrams.reserve());
    this.datagrams.commit(text.length, path);
    assert(this.send());
  }

  /** Sends what is queued, as the engine does. Returns whether all of it has left. */
  send(): boolean {
    const { head, tail } = this.datagrams;
    const next = this.port.send(this.datagrams, head, tail, 0);
    this.datagrams.sentUpTo(next);
    return next === tail;
  }

  /** Takes what has arrived; the texts of its datagrams. */
  receive(packets: readonly Bytes[]): string[] {
    this.wire.arriving.push(...packets);
    const texts: string[] = [];
    for (let count = this.port.receive(); count > 0; count = this.port.receive()) {
      for (let i = 0; i < count; i++) {
        if (!this.port.take(i, 0)) continue;
        const { offsets, lengths } = this.port.messages;
        const at = offsets[i]!;
        texts.push(new TextDecoder().decode(this.memory.bytes.slice(at, at + lengths[i]!)));
        this.port.authenticated(i, this, 0);
      }
    }
    this.port.flush(0);
    return texts;
  }
}

/** A client and a server, connected. */
export function connectedPorts(
  workers: WorkersOfEnd | null = null,
): { client: PortEnd; server: PortEnd } {
  const [client, server] = [new PortEnd(false), new PortEnd(true, workers)];
  client.port.session = client.port.connections.connect(toServer(), 0);
  client.port.flush(0);
  for (let i = 0; i < 3; i++) {
    server.receive(client.wire.sent.splice(0));
    client.receive(server.wire.sent.splice(0));
  }
  return { client, server };
}
