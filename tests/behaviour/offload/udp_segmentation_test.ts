/**
 * Tests how the UDP socket makes messages of datagrams, and that it loses nothing when the kernel refuses some of them.
 *
 * What a socket does besides is tested in tests/unit/ffi/sockets/udp_socket_test.ts.
 */
import { Arena } from "../../../ffi/arena.ts";
import { EINVAL, EIO, EMSGSIZE, ENETUNREACH } from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { type DatagramBatch, pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { RECEIVE_BUFFER_SIZE } from "../../../ffi/sockets/udp_buffers.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { hostTest } from "../../support/permissions.ts";

const LOCALHOST = 0x7f000001;
/** Another of this machine's, which the kernel does not choose by itself. */
const SOURCE = 0x7f000007;
const BATCH = 4;
/** Datagrams with room for any size up to this. */
const SLOT_SIZE = 2048;
const SLOTS = 256;
const ARENA_SIZE = BATCH * RECEIVE_BUFFER_SIZE + SLOTS * SLOT_SIZE + 128 * 1024;

/** `struct mmsghdr` (see ffi/sockets/udp_socket.ts): the count of vectors, and the name with the port in it. */
const MMSGHDR_SIZE = 64;
const MSG_IOVLEN = 24;

/** A message that was handed to `sendmmsg`. */
interface Message {
  readonly port: number;
  /** Datagrams in it. */
  readonly count: number;
}

/** Answers for the kernel: the error number with which it refuses a message, or 0 for the kernel's own answer. */
type Refusal = (message: Message) => number;

/** libc, but `sendmmsg` is seen and may be refused. */
function overheard(refusal: Refusal): { libc: Libc; calls: Message[][] } {
  const real = openLibc();
  const calls: Message[][] = [];
  let errno: number | null = null;
  const sendmmsg: Libc["symbols"]["sendmmsg"] = (fd, headers, count, flags) => {
    const messages = readMessages(headers, count);
    calls.push(messages);
    const answers = messages.map(refusal);
    const refused = answers.findIndex((answer) => answer !== 0);
    errno = null;
    // As the kernel has it: what stands before the refused message is sent, and the error comes with the next call.
    if (refused !== 0) {
      return real.symbols.sendmmsg(fd, headers, refused < 0 ? count : refused, flags);
    }
    errno = answers[0]!;
    return -1;
  };
  const libc = { symbols: { ...real.symbols, sendmmsg }, errno: () => errno ?? real.errno() };
  return { libc, calls };
}

function readMessages(headers: Deno.PointerValue, count: number): Message[] {
  assert(headers !== null);
  const view = new Deno.UnsafePointerView(headers);
  return Array.from({ length: count }, (_, index) => {
    const name = view.getPointer(index * MMSGHDR_SIZE);
    assert(name !== null);
    const port = new Deno.UnsafePointerView(name).getUint16(2);
    return {
      port: port >> 8 | (port & 255) << 8,
      count: view.getInt32(index * MMSGHDR_SIZE + MSG_IOVLEN),
    };
  });
}

/** A sender, and receivers that it writes to. */
class Bench implements Disposable {
  readonly sender: UdpSocket;
  readonly receivers: readonly UdpSocket[];
  readonly calls: Message[][];
  readonly batch: DatagramBatch;
  /** What was put into the batch, by receiver. */
  readonly sent: readonly (readonly number[])[];
  readonly #arenas: readonly Arena[];

  /** @param datagrams receiver and size in bytes of each datagram to be sent, in order */
  constructor(
    datagrams: readonly (readonly [receiver: number, size: number])[],
    { refusal = () => 0, source = 0, ecns = datagrams.map(() => 0) }: {
      refusal?: (message: Message, ports: readonly number[]) => number;
      ecns?: readonly number[];
      source?: number;
    } = {},
  ) {
    const options = { port: 0, mark: 0, bufferSize: 4 << 20, batch: BATCH };
    this.#arenas = [0, 1, 2].map(() => new Arena(ARENA_SIZE));
    this.receivers = [1, 2].map((index) =>
      UdpSocket.bind(openLibc(), this.#arenas[index]!, { ...options, offload: false })
    );
    const ports = this.receivers.map(({ port }) => port);
    const { libc, calls } = overheard((message) => refusal(message, ports));
    this.calls = calls;
    this.sender = UdpSocket.bind(libc, this.#arenas[0]!, { ...options, offload: true });
    const slots = this.#arenas[0]!.allocate(SLOTS * SLOT_SIZE);
    this.batch = {
      offsets: Int32Array.from(datagrams, (_, index) => slots + index * SLOT_SIZE),
      lengths: Int32Array.from(datagrams, ([, size]) => size),
      ...pathsTo(
        datagrams.map(([receiver]) => ({ address: LOCALHOST, port: ports[receiver]!, source })),
      ),
      ecns: Uint8Array.from(ecns),
    };
    datagrams.forEach(([, size], index) => {
      this.#arenas[0]!.bytes.fill(
        index,
        slots + index * SLOT_SIZE,
        slots + index * SLOT_SIZE + size,
      );
    });
    this.sent = ports.map((_, receiver) =>
      datagrams.flatMap(([to, size], index) => to === receiver ? [index, size] : [])
    );
  }

  /** Sends the whole batch. */
  send(): number {
    return this.sender.send(this.batch, 0, this.batch.lengths.length);
  }

  /** What has come to each receiver: number and size of every datagram in order. */
  received(): number[][] {
    return this.receivers.map((socket, index) => {
      const all: number[] = [];
      const { bytes } = this.#arenas[index + 1]!;
      for (let count = socket.receive(); count > 0; count = socket.receive()) {
        for (let i = 0; i < count; i++) {
          const [at, length] = [socket.receivedOffsets[i]!, socket.receivedLengths[i]!];
          assert(bytes.subarray(at, at + length).every((byte) => byte === bytes[at]));
          all.push(bytes[at]!, length);
        }
      }
      return all;
    });
  }

  [Symbol.dispose](): void {
    for (const socket of [this.sender, ...this.receivers]) socket[Symbol.dispose]();
  }
}

/** `count` datagrams of one size to one receiver. */
function run(receiver: number, count: number, size: number): [number, number][] {
  return Array.from({ length: count }, () => [receiver, size]);
}

hostTest("send() puts datagrams of one size into one message when the last is shorter", () => {
  for (const size of [100, 1452, 1453]) {
    using bench = new Bench([...run(0, 20, size), [0, 33]]);
    assertEquals(bench.send(), 21);
    assertEquals(bench.calls.map((call) => call.map(({ count }) => count)), [[21]]);
    assertEquals(bench.received(), bench.sent);
  }
});

hostTest("send() begins a new message when receiver or size change", () => {
  using bench = new Bench([
    ...run(0, 3, 100),
    ...run(1, 2, 100),
    ...run(1, 2, 101),
    [1, 50],
    ...run(1, 2, 50),
  ]);
  assertEquals(bench.send(), 10);
  // Four messages are a batch. The shorter one ends the third.
  assertEquals(bench.calls.map((call) => call.map(({ count }) => count)), [[3, 2, 3, 2]]);
  assertEquals(bench.received(), bench.sent);
});

hostTest("send() begins a new message when the ECN bits change, which arrive", () => {
  const ecns = [0, 0, 2, 2, 2, 3, 1, 0];
  using bench = new Bench(run(0, ecns.length, 100), { ecns, source: LOCALHOST });
  assertEquals(bench.send(), ecns.length);
  const sizes = bench.calls.flat().map(({ count }) => count);
  assertEquals(sizes, [2, 3, 1, 1, 1]);
  const [receiver] = bench.receivers;
  const arrived: number[] = [];
  for (let count = receiver!.receive(); count > 0; count = receiver!.receive()) {
    arrived.push(...receiver!.receivedEcns.subarray(0, count));
  }
  assertEquals(arrived, ecns);
});

hostTest("send() begins a new message when one has 64 datagrams or 65,507 bytes", () => {
  using many = new Bench(run(0, 130, 40));
  many.send();
  assertEquals(many.calls.map((call) => call.map(({ count }) => count)), [[64, 64, 2]]);
  assertEquals(many.received(), many.sent);
  using large = new Bench(run(0, 50, 1400));
  large.send();
  assertEquals(large.calls.map((call) => call.map(({ count }) => count)), [[46, 4]]);
  assertEquals(large.received(), large.sent);
});

hostTest("send() stops segmenting for good and loses nothing when the kernel says EIO", () => {
  const datagrams = [[0, 100], ...run(1, 9, 1452), [1, 9], ...run(0, 3, 64)] as const;
  using bench = new Bench(datagrams, { refusal: ({ count }) => count > 1 ? EIO : 0 });
  assert(bench.sender.segmentation);
  assertEquals(bench.send(), datagrams.length);
  assertEquals(bench.received(), bench.sent);
  assertEquals([bench.sender.segmentation, bench.sender.sendErrors], [false, 0]);
  // The single one in front was sent; then one refusal, and none after it.
  const refused = bench.calls.filter((call) => call[0]!.count > 1);
  assertEquals(refused.length, 1);
  bench.send();
  assertEquals(bench.received(), bench.sent);
  assertEquals(bench.calls.filter((call) => call.some(({ count }) => count > 1)).length, 2);
});

// EINVAL: what kernels before 6.14 say.
for (const [name, errno] of Object.entries({ EMSGSIZE, EINVAL })) {
  hostTest(`send() does not segment a run that is longer than its path takes (${name})`, () => {
    const datagrams = [...run(0, 5, 1452), [0, 7], ...run(1, 5, 1452), ...run(0, 3, 1452)] as const;
    using bench = new Bench(datagrams, {
      refusal: ({ port, count }, ports) => port === ports[0] && count > 1 ? errno : 0,
    });
    assertEquals(bench.send(), datagrams.length);
    assertEquals(bench.received(), bench.sent);
    assertEquals([bench.sender.segmentation, bench.sender.sendErrors], [true, 0]);
    // The other receiver's path segments all the while.
    const other = bench.calls.flat().filter(({ port }) => port === bench.receivers[1]!.port);
    assert(other.every(({ count }) => count === 5));
  });
}

hostTest("send() leaves the source out, and goes on segmenting, when the source is refused", () => {
  // 192.0.2.77 is no address of this machine: the kernel's own answer, ENETUNREACH.
  using real = new Bench(run(0, 5, 100), { source: 0xc000024d });
  real.send();
  assertEquals(real.received(), real.sent);
  assertEquals([real.sender.segmentation, real.sender.refusedSource], [true, 0xc000024d | 0]);
  // What other kernels say.
  let answer = EINVAL;
  const refusal = () => {
    const given = answer;
    answer = 0;
    return given;
  };
  using scripted = new Bench(run(0, 5, 100), { source: LOCALHOST, refusal });
  scripted.send();
  assertEquals(scripted.received(), scripted.sent);
  assertEquals([scripted.sender.segmentation, scripted.sender.refusedSource], [true, LOCALHOST]);
});

hostTest("send() blames no source for what is refused without it as well, and leaves by it", () => {
  // A run that is too long for its path, as kernels before 6.14 refuse it, and a destination that no route leads to.
  for (
    const [errno, isRefused, lost] of [
      [EINVAL, ({ count }: Message) => count > 1, 0],
      [ENETUNREACH, () => true, 5],
    ] as const
  ) {
    using bench = new Bench([...run(0, 5, 1452), ...run(1, 5, 100)], {
      source: SOURCE,
      refusal: (message, ports) => message.port === ports[0] && isRefused(message) ? errno : 0,
    });
    assertEquals(bench.send(), 10);
    assertEquals([bench.sender.refusedSource, bench.sender.sendErrors], [0, lost]);
    const sources = bench.receivers.map((receiver) => {
      const all: number[] = [];
      for (let count = receiver.receive(); count > 0; count = receiver.receive()) {
        all.push(...receiver.receivedAddresses.subarray(0, count));
      }
      return all;
    });
    assertEquals(sources, [Array(5 - lost).fill(SOURCE), Array(5).fill(SOURCE)]);
  }
});

hostTest("send() loses nothing when everything is random, refusals included", () => {
  const random = new Random(1);
  for (let round = 0; round < 100; round++) {
    const datagrams: [number, number][] = [];
    while (datagrams.length < 200) {
      datagrams.push(...run(random.below(2), random.between(1, 40), random.between(1, 1500)));
    }
    const refusals = [EMSGSIZE, random.chance(0.2) ? EIO : EMSGSIZE];
    using bench = new Bench(datagrams.slice(0, SLOTS), {
      refusal: ({ count }) => count > 1 && random.chance(0.3) ? random.pick(refusals) : 0,
    });
    bench.send();
    assertEquals(bench.received(), bench.sent);
    assertEquals(bench.sender.sendErrors, 0);
  }
});
