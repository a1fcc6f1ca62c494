/**
 * Tests of `ffi/netlink/nftables/nfqueue.ts` with a libc that follows a script: what no kernel can be made to send at
 * will.
 */
import { Arena } from "../../../../../ffi/arena.ts";
import { EAGAIN, EINTR, ENOBUFS } from "../../../../../ffi/errno.ts";
import type { Libc } from "../../../../../ffi/libc.ts";
import { NfQueue } from "../../../../../ffi/netlink/nftables/nfqueue.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { type Bytes, hex } from "../../../../support/packets/packet_builder.ts";
import { message, ScriptedKernel } from "../../../../support/packets/scripted_kernel.ts";
import { hostTest } from "../../../../support/permissions.ts";

const QUEUE = 0x10;
const BATCH = 4;
const VNET_HEADER_SIZE = 10;
const ACKNOWLEDGED = message(2, `00000000 ${"00".repeat(16)}`, { flags: 0x100 });
const MMSGHDR_SIZE = 64;
const MSG_TRUNC = 0x20;

interface Datagram {
  readonly bytes: Bytes;
  readonly truncated?: boolean;
}

/** A kernel whose queues bring these datagrams, a batch at a time. */
class QueueingKernel {
  readonly configuration = new ScriptedKernel(ACKNOWLEDGED, ACKNOWLEDGED);
  readonly verdicts: Bytes[] = [];
  /** Error numbers with which the next calls of `writev` fail. */
  readonly writeErrors: number[] = [];
  readonly #arena = new Arena(1024 * 1024);
  readonly #batches: (readonly Datagram[] | number)[];
  readonly queue: NfQueue;
  #errno = 0;

  constructor(...batches: (readonly Datagram[] | number)[]) {
    this.#batches = batches;
    const base = this.configuration.libc();
    const symbols = {
      ...base.symbols,
      recvmmsg: (_fd: number, headers: Deno.PointerObject) => this.#receive(headers),
      writev: (_fd: number, vector: Deno.PointerObject) => this.#write(vector),
    };
    const libc = { symbols, errno: () => this.#errno } as unknown as Libc;
    this.queue = NfQueue.open(libc, this.#arena, {
      queue: QUEUE,
      length: 100,
      batch: BATCH,
      bufferSize: 65536,
    });
  }

  /** The packets that the next batch brings, null for those that were cut. */
  receive(): (string | null)[] {
    const count = this.queue.receive();
    return Array.from({ length: Math.max(count, 0) }, (_, i) => {
      const length = this.queue.receivedLengths[i]!;
      if (length < 0) return null;
      const offset = this.queue.receivedOffsets[i]!;
      const bytes = this.#arena.bytes.subarray(offset, offset + length);
      assertEquals<Uint8Array>(bytes.slice(0, VNET_HEADER_SIZE), new Uint8Array(VNET_HEADER_SIZE));
      assertEquals((offset + VNET_HEADER_SIZE) % 4, 0);
      return bytes.subarray(VNET_HEADER_SIZE).toHex();
    });
  }

  #receive(headers: Deno.PointerObject): number {
    const batch = this.#batches.shift() ?? EAGAIN;
    if (typeof batch === "number") {
      this.#errno = batch;
      return -1;
    }
    const messages = new Deno.UnsafePointerView(headers);
    const fields = new DataView(messages.getArrayBuffer(MMSGHDR_SIZE * batch.length));
    for (const [i, { bytes, truncated }] of batch.entries()) {
      const at = i * MMSGHDR_SIZE;
      const vector = pointer(fields.getBigUint64(at + 16, true));
      const base = pointer(new Deno.UnsafePointerView(vector).getBigUint64());
      new Uint8Array(new Deno.UnsafePointerView(base).getArrayBuffer(bytes.length)).set(bytes);
      fields.setInt32(at + 48, truncated === true ? MSG_TRUNC : 0, true);
      fields.setInt32(at + 56, bytes.length, true);
    }
    return batch.length;
  }

  #write(vector: Deno.PointerObject): number {
    const errno = this.writeErrors.shift();
    if (errno !== undefined) {
      this.#errno = errno;
      return -1;
    }
    const fields = new Deno.UnsafePointerView(vector);
    const base = pointer(fields.getBigUint64());
    const length = Number(fields.getBigUint64(8));
    this.verdicts.push(
      new Uint8Array(new Deno.UnsafePointerView(base).getArrayBuffer(length)).slice(),
    );
    return length;
  }
}

function pointer(address: bigint): Deno.PointerObject {
  return Deno.UnsafePointer.create(address)!;
}

/** A netlink message whose length is right. */
function netlink(type: number, body: string): Datagram {
  const bytes = hex(`00000000 0000 0000 00000000 00000000 ${body}`);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  return { bytes };
}

/** A packet of a queue as Linux 6.18 sends it, the payload a multiple of 4 bytes in hexadecimal. */
function packet(id: number, payload: string, { queue = QUEUE, more = "" } = {}): Datagram {
  const number = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const size = number(payload.length / 2 + 4, 2);
  return netlink(
    0x0300,
    `02 00 ${number(queue, 4)}
     0b00 0100 ${number(id, 8)} 0800 00 00
     0800 0500 00000002  1000 0900 0006 0000 021122334455 0000  ${more}
     ${size}00 0a00 ${payload}`,
  );
}

const verdict = (queue: number, decision: number, id: number) =>
  hex(`20000000 0303 0100 00000000 00000000  00 00 00${queue.toString(16)}
       0c00 0200 0000000${decision} ${id.toString(16).padStart(8, "0")}`);
const DROP = 0;
const ACCEPT = 1;

hostTest(
  "NfQueue.open() binds both queues for whole packets, without fail-open and without GSO",
  () => {
    const { configuration } = new QueueingKernel();
    const bodies = configuration.requests.map((request) => request.slice(16));
    const expected = (queue: string) =>
      hex(`0000 ${queue}  0800 0100 01 00 0000  0900 0200 0000ffff 02 000000  0800 0300 00000064`);
    assertEquals<Uint8Array[]>(bodies, [expected("0010"), expected("0011")]);
    // SOL_NETLINK, NETLINK_NO_ENOBUFS
    assertEquals(configuration.options.includes("270/5=1"), true);
    assertEquals(configuration.options.includes("1/33=65536"), true);
  },
);

hostTest("NfQueue.receive() drops all up to the last id of a batch with one message", () => {
  const kernel = new QueueingKernel([packet(5, "45000001"), packet(6, "45000002")]);
  assertEquals(kernel.receive(), ["45000001", "45000002"]);
  assertEquals(kernel.verdicts, [verdict(QUEUE, DROP, 6)]);
  assertEquals(kernel.queue.receive(), -EAGAIN);
  assertEquals(kernel.verdicts.length, 1);
});

hostTest(
  "NfQueue.receive() lets the second queue's packets pass, each queue having its own ids",
  () => {
    const second = { queue: QUEUE + 1 };
    const kernel = new QueueingKernel(
      [packet(9, "45000001"), packet(3, "45000002", second), packet(0x80000001, "45000003")],
      [packet(4, "45000004", second)],
    );
    assertEquals(kernel.receive(), ["45000001", "45000002", "45000003"]);
    assertEquals(kernel.receive(), ["45000004"]);
    assertEquals(kernel.verdicts, [
      verdict(QUEUE, DROP, 0x80000001),
      verdict(QUEUE + 1, ACCEPT, 3),
      verdict(QUEUE + 1, ACCEPT, 4),
    ]);
  },
);

hostTest("NfQueue.receive() marks a packet that was cut, and settles it", () => {
  // NFQA_CAP_LEN says that the packet has more bytes than its payload here.
  const kernel = new QueueingKernel([
    packet(1, "45000001", { more: "0800 0d00 0000ffff" }),
    packet(2, "45000002"),
  ]);
  assertEquals(kernel.receive(), [null, "45000002"]);
  assertEquals(kernel.verdicts, [verdict(QUEUE, DROP, 2)]);
});

hostTest("NfQueue.receive() passes over what is no packet of its queues", () => {
  const error = netlink(0x0002, `feffffff ${"00".repeat(16)}`);
  const whole = packet(7, "45000007");
  const kernel = new QueueingKernel(
    [error, packet(3, "45000003", { queue: QUEUE + 2 }), whole],
    [{ bytes: hex("0000") }, { ...whole, truncated: true }, packet(8, "")],
    [packet(2, "45000002", { queue: QUEUE - 1 })],
  );
  assertEquals(kernel.receive(), ["45000007"]);
  assertEquals(kernel.receive(), [""]);
  assertEquals(kernel.receive(), []);
  assertEquals(kernel.verdicts, [verdict(QUEUE, DROP, 7), verdict(QUEUE, DROP, 8)]);
});

hostTest("NfQueue.receive() stops at an attribute whose length cannot be", () => {
  for (const attribute of ["0000 0a00 45000001", "0300 0a00 45000001", "ff00 0a00 45000001"]) {
    const kernel = new QueueingKernel([netlink(0x0300, `02 00 0010 ${attribute}`)]);
    assertEquals(kernel.receive(), []);
    assertEquals(kernel.verdicts, []);
  }
});

hostTest("NfQueue.receive() sends a verdict again that a signal interrupted, no other", () => {
  const kernel = new QueueingKernel([packet(1, "45000001")], [packet(2, "45000002")]);
  kernel.writeErrors.push(EINTR, EINTR);
  assertEquals(kernel.receive(), ["45000001"]);
  assertEquals(kernel.verdicts, [verdict(QUEUE, DROP, 1)]);
  kernel.writeErrors.push(ENOBUFS);
  assertEquals(kernel.receive(), ["45000002"]);
  assertEquals(kernel.verdicts.length, 1);
});

hostTest("NfQueue.receive() returns the error number of a failed call", () => {
  const kernel = new QueueingKernel(ENOBUFS);
  assertEquals(kernel.queue.receive(), -ENOBUFS);
});
