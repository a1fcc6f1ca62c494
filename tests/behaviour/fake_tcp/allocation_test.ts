/** Tests that datagrams of an open connection leave nothing on the heap, in either direction. */
import { assert, assertEquals } from "../../support/assert.ts";
import { heapGrowth } from "../../support/heap_growth.ts";
import {
  ACK,
  build,
  familyTest,
  fromThere,
  headersSize,
  PSH,
  segmentAt,
  World,
} from "../../support/fake_tcp/world.ts";

const CALLS = 100_000;
const CAPTURE_AT = 64;
const DATAGRAM_AT = 8_192;
/** Bytes of a datagram. */
const SIZE = 1_000;

familyTest("datagrams are received, acknowledged and sent without allocation", () => {
  const world = new World();
  // Near where int32 changes its sign, and where it wraps around.
  for (const ahead of [0, 0x7fff0000, 0xffff0000]) {
    world.client.transport.closeAll();
    world.server.transport.closeAll();
    const session = world.open();
    const { client: { transport, queue, memory, drops } } = world;
    const packet = build({
      ...fromThere(session),
      flags: PSH | ACK,
      seq: session.rcvMax,
      payload: new Uint8Array(SIZE),
    });
    session.rcvMax = (session.rcvMax + ahead) | 0;
    memory.bytes.set(packet, CAPTURE_AT);
    const segment = CAPTURE_AT + segmentAt(packet);
    const [addresses, size] = headersSize() === 60 ? [CAPTURE_AT + 8, 16] : [CAPTURE_AT + 12, 4];
    let received = 0;
    let calls = 0;
    // No whole number, as the data plane's time; made once for a batch there.
    const now = world.clock.now + 0.25;
    const droppedBefore = drops.total;
    const grown = heapGrowth(CALLS, () => {
      calls++;
      memory.view.setInt32(segment + 4, session.rcvMax);
      memory.view.setInt32(segment + 8, session.sndMax);
      // The IP checksum stays right; that of TCP is the kernel's business here.
      if (transport.receive(CAPTURE_AT, packet.length, true, now) === session) received++;
      transport.authenticated(session, session, now);
      if (
        transport.find(
          memory.view,
          addresses,
          addresses + size,
          size,
          session.remotePort,
          session.localPort,
        ) !== session
      ) return;
      transport.send(session, DATAGRAM_AT, SIZE, now);
      transport.poll(now);
      queue.sentUpTo(queue.tail);
    });
    assertEquals([received, drops.total - droppedBefore], [calls, 0]);
    assert(grown < CALLS, `${grown} bytes in ${CALLS} calls`);
  }
});
