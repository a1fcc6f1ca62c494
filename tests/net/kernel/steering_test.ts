/**
 * Tests of `ffi/bpf.ts`, `ffi/sockets/packet_fanout.ts` and the queues of `ffi/tun.ts`: the kernel divides packets
 * among queues and sockets as the programs of lib/dataplane/filters/steering.ts say.
 */
import { Arena } from "../../../ffi/arena.ts";
import { loadSocketFilter } from "../../../ffi/bpf.ts";
import { EAGAIN, EBUSY, SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { joinFanout, startFanout, steerFanout } from "../../../ffi/sockets/packet_fanout.ts";
import { ipv4FromNumber, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { Tun } from "../../../ffi/tun.ts";
import { type HostAddress, ipv6At, socketForm } from "../../../lib/core/wire/host_address.ts";
import { PROTOCOL_UDP } from "../../../lib/core/wire/ipv4.ts";
import * as ipv6 from "../../../lib/core/wire/ipv6.ts";
import { exit, operate, RSH } from "../../../lib/dataplane/filters/ebpf.ts";
import {
  outsideSteering,
  tunSteering,
  workerOfAddress,
} from "../../../lib/dataplane/filters/steering.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import type { BpfOutcome } from "../../support/ffi/bpf_refusal_worker.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { eventually } from "../../support/time/patience.ts";
import { DEVICE, GATEWAY, Injector, layOutskirts, OUTSIDE, Tap, u16 } from "../support/outside.ts";
import { ARENA_SIZE, openSocket } from "../support/traffic/sockets.ts";

const WITH_PING = { programs: ["ping"] };
const QUEUES = 3;
const VNET_HEADER_SIZE = 10;
const BUFFER_SIZE = 2048;
/** 10.66.0.0/16 */
const NETWORK = 0x0a42_0000;
const NETWORK6 = "fd00:77::";

/** A TUN that is up and has addresses behind it, a queue for each of several threads, which here are one. */
class Queues implements Disposable {
  readonly queues: readonly Tun[];
  readonly #arena = new Arena(ARENA_SIZE);
  readonly #buffer: number;
  readonly #namespace: TestNamespace;

  constructor(topology: Topology) {
    const libc = openLibc();
    this.#namespace = topology.namespace("tun");
    this.queues = this.#namespace.inside(() => [
      Tun.open(libc, this.#arena, "tun7", "many"),
      ...Array.from({ length: QUEUES - 1 }, () => Tun.openQueue(libc, this.#arena, "tun7")),
    ]);
    const { links, addresses } = this.#namespace.rtnetlink;
    const { index } = links.get("tun7");
    addresses.add(index, { address: ipv4FromNumber(NETWORK | 1), prefixLength: 16 });
    addresses.add(index, { address: parseIp(`${NETWORK6}1`), prefixLength: 64 });
    links.configure(index, { up: true });
    this.#buffer = this.#arena.allocate(BUFFER_SIZE);
  }

  /** Has the host send a datagram to each of these, and tells which come by which queue, in their order. */
  send(destinations: readonly HostAddress[]): HostAddress[][] {
    const arena = new Arena(ARENA_SIZE);
    using socket = openSocket(this.#namespace, arena);
    const offset = arena.allocate(64);
    const batch = {
      offsets: new Int32Array(destinations.length).fill(offset),
      lengths: new Int32Array(destinations.length).fill(64),
      ...pathsTo(destinations.map((address) => ({ address: socketForm(address), port: 7777 }))),
    };
    assertEquals(socket.send(batch, 0, destinations.length), destinations.length);
    return this.queues.map((queue) => this.#drain(queue));
  }

  #drain(queue: Tun): HostAddress[] {
    const found: HostAddress[] = [];
    const { view } = this.#arena;
    const packet = this.#buffer + VNET_HEADER_SIZE;
    for (;;) {
      const length = queue.read(this.#buffer, BUFFER_SIZE);
      if (length === -EAGAIN) return found;
      assert(length > 0, `errno ${-length}`);
      if (!ipv6.isIpv6(view, packet)) found.push(view.getUint32(packet + 16));
      // The kernel sends more of its own.
      else if (ipv6.nextHeader(view, packet) === PROTOCOL_UDP) {
        found.push(ipv6At(view, packet + 24));
      }
    }
  }

  [Symbol.dispose](): void {
    for (const queue of this.queues) queue[Symbol.dispose]();
  }
}

/** Gives a program to a device, which keeps it. */
function steer(tun: Tun, program: ReturnType<typeof tunSteering>): void {
  const libc = openLibc();
  const fd = loadSocketFilter(libc, program);
  tun.steer(fd);
  libc.symbols.close(fd);
}

netTest(
  "Tun.steer() has the host's packets come by the queue that workerOfAddress() names",
  (topology) => {
    using device = new Queues(topology);
    const { queues } = device;
    steer(queues[1]!, tunSteering(QUEUES));
    const destinations = Array.from({ length: 120 }, (_, i) => NETWORK + 2 + (i % 60) * 7);
    const shares = (count: number, of: readonly HostAddress[] = destinations) =>
      Array.from(
        { length: count },
        (_, worker) => of.filter((to) => workerOfAddress(to, count) === worker),
      );
    assertEquals(device.send(destinations), shares(QUEUES));
    const destinations6 = Array.from(
      { length: 60 },
      (_, i) => `${NETWORK6}${(i + 2).toString(16)}`,
    );
    assertEquals(device.send(destinations6), shares(QUEUES, destinations6));

    // Any queue takes packets for the host, whichever has the answers.
    queues[2]!.attachQueue(false);
    steer(queues[0]!, tunSteering(2));
    assertEquals(device.send(destinations), [...shares(2), []]);
    queues[2]!.attachQueue(true);
    steer(queues[0]!, tunSteering(QUEUES));
    assertEquals(device.send(destinations), shares(QUEUES));
    assertThrows(() => queues[2]!.attachQueue(true), SystemCallError, "EINVAL");
  },
);

netTest(
  "a TUN is there until its last queue is closed, and shared only if it is opened for many",
  (topology) => {
    const namespace = topology.namespace("tun");
    const libc = openLibc();
    const arena = new Arena(65_536);
    const first = namespace.inside(() => Tun.open(libc, arena, "tun7", "many"));
    const second = namespace.inside(() => Tun.openQueue(libc, arena, "tun7"));
    const again = assertThrows(
      () => namespace.inside(() => Tun.open(libc, arena, "tun7", "many")),
      SystemCallError,
    );
    assertEquals(again.errno, EBUSY);
    first[Symbol.dispose]();
    assert(namespace.rtnetlink.links.find("tun7") !== null);
    second[Symbol.dispose]();
    assertEquals(namespace.rtnetlink.links.find("tun7"), null);

    using _single = namespace.inside(() => Tun.open(libc, arena, "tun8"));
    const refused = assertThrows(
      () => namespace.inside(() => Tun.openQueue(libc, arena, "tun8")),
      SystemCallError,
      'Cannot open a queue of TUN device "tun8"',
    );
    assertEquals(refused.isUnavailable, true);
  },
);

netTest(
  "loadSocketFilter() throws what can be done without where the kernel refuses",
  async (topology) => {
    topology.namespace("bpf");
    // The verifier's refusal: the register that is shifted has never been set.
    const bad = assertThrows(
      () => loadSocketFilter(openLibc(), [operate(RSH, 16), exit()]),
      SystemCallError,
    );
    assertEquals([bad.code, bad.isUnavailable], ["EACCES", true]);
    const url = new URL("../../support/ffi/bpf_refusal_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    const outcome = await new Promise<BpfOutcome>((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.postMessage(null);
    });
    worker.terminate();
    if (Deno.readTextFileSync("/proc/sys/kernel/unprivileged_bpf_disabled").trim() === "0") return;
    assertEquals(outcome, {
      message: "Cannot load a BPF program: operation not permitted (EPERM)",
      isUnavailable: true,
    });
  },
);

/** Three sockets, each of which has a third of the ports. */
const PORTS = { range: { first: 30_000, last: 32_999 }, count: 3, forwards: [] };

/** One packet of each kind for each of the owners, numbered by `identification`. */
function packetsFor(port: number, identification: number): Bytes[] {
  const ends = { source: OUTSIDE, destination: GATEWAY, identification };
  const sent = { source: GATEWAY, destination: OUTSIDE, sourcePort: port, destinationPort: 53 };
  return [
    buildTcp({ ...ends, destinationPort: port }),
    buildUdp({ ...ends, destinationPort: port }),
    buildIcmp({ ...ends, type: 0, identifier: port }),
    buildIcmp({ ...ends, type: 11, payload: buildUdp(sent) }),
  ];
}

netTest(
  "steerFanout() has each packet from outside come by the socket whose port it is for, after the link was down too",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using injector = new Injector(outside);
    using first = new Tap(gateway);
    using second = new Tap(gateway);
    using third = new Tap(gateway);
    const taps = [first, second, third];
    const libc = openLibc();
    const group = startFanout(libc, first.socket.fd);
    joinFanout(libc, second.socket.fd, group);
    joinFanout(libc, third.socket.fd, group);
    steerFanout(libc, second.socket.fd, outsideSteering(PORTS));
    const numbers = (tap: Tap, from: number) =>
      tap.seen().map(({ packet }) => u16(packet, 4)).filter((number) => number >= from);

    const check = async (from: number) => {
      for (const [i, port] of [30_000, 30_009, 30_023, 29_999].entries()) {
        injector.send(...packetsFor(port, from + i));
      }
      // The last is nobody's, so the first socket has it, and by then all others have come.
      await first.waitFor((packet) => u16(packet, 4) === from + 3, 4);
      assertEquals(taps.map((tap) => numbers(tap, from).sort()), [
        [from, from, from, from, from + 3, from + 3, from + 3, from + 3],
        [from + 1, from + 1, from + 1, from + 1],
        [from + 2, from + 2, from + 2, from + 2],
      ]);
    };
    // High numbers: what the kernels send of themselves counts from elsewhere.
    await check(0xff00);
    const { links } = gateway.rtnetlink;
    links.configure(DEVICE, { up: false });
    links.configure(DEVICE, { up: true });
    // The sockets say once that it was down.
    await eventually(() => links.get(DEVICE).up ? true : null);
    for (const tap of taps) for (let i = 0; i < 2; i++) tap.socket.receive();
    await check(0xff80);
  },
  WITH_PING,
);
