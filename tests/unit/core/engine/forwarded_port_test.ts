/** Tests of lib/core/engine/forwarded_port.ts. */
import { ForwardedPort } from "../../../../lib/core/engine/forwarded_port.ts";
import { writePathRecord } from "../../../../lib/core/transport/path_record.ts";
import { SendQueue } from "../../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { DATAGRAM_BYTES, DATAGRAM_PATH } from "../../../../lib/core/wireguard/workers/records.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const SLOT = 128;

function site() {
  const size = ForwardedPort.size(SLOT);
  const memory = createMemory(64 + size);
  const { paths } = new SendQueue({ offset: 0, slots: 4, slotSize: SLOT });
  const port = new ForwardedPort({ memory, offset: 64, slotSize: SLOT, paths });
  /** The record of a datagram of these bytes from this port of a client's. */
  const record = (bytes: number[], from: number) => {
    const text = new Uint8Array(3 + DATAGRAM_BYTES + bytes.length);
    const path = paths.intern(0x0a000001, from, 0, Transport.udp);
    writePathRecord(text, 3 + DATAGRAM_PATH, paths, path);
    text.set(bytes, 3 + DATAGRAM_BYTES);
    return { view: new DataView(text.buffer), at: 3, length: text.length - 3 };
  };
  const put = ({ view, at, length }: ReturnType<typeof record>) => port.put(view, at, length);
  return { memory, paths, port, record, put };
}

Deno.test("a forwarded port brings datagrams in their order, each by its path, once", () => {
  const { memory, paths, port, record, put } = site();
  assert(put(record([1, 2, 3], 4001)));
  assert(put(record([9, 8, 7, 6, 5], 4002)));
  assertEquals(port.receive(), 2);
  const { offsets, lengths, pathIds } = port.messages;
  const texts = [0, 1].map((i) => [...memory.bytes.slice(offsets[i]!, offsets[i]! + lengths[i]!)]);
  assertEquals(texts, [[1, 2, 3], [9, 8, 7, 6, 5]]);
  assertEquals([0, 1].map((i) => paths.port(pathIds[i]!)), [4001, 4002]);
  assertEquals(port.receive(), 0);
});

Deno.test("a forwarded port takes no more than there is room for until they are received, and drops what is too long", () => {
  const { port, record, put } = site();
  assert(put(record(new Array(SLOT + 1).fill(7), 4001)));
  assertEquals(port.receive(), 0);
  let taken = 0;
  while (put(record([taken], 4001))) taken++;
  assertEquals([taken, port.receive()], [port.batch, port.batch]);
  assert(put(record([1], 4001)));
});
