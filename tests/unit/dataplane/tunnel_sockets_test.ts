/** Tests of lib/dataplane/tunnel_sockets.ts over the loopback interface. */
import { EADDRINUSE, EPERM, SystemCallError } from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { openTunnelSockets, type TunnelSockets } from "../../../lib/dataplane/tunnel_sockets.ts";
import { Bench, LOOPBACK } from "../../bench/udp_bench.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

const SO_ATTACH_REUSEPORT_CBPF = 51;

interface Opening {
  readonly isGateway: boolean;
  readonly libc?: Libc;
  readonly port?: number;
}

class Site implements Disposable {
  readonly bench = new Bench();
  readonly #opened = new DisposableStack();

  open({ isGateway, libc = openLibc(), port = 0 }: Opening): TunnelSockets {
    return openTunnelSockets(libc, this.bench.arena, {
      options: {
        port,
        bothFamilies: true,
        mark: 0,
        offload: true,
        bufferSize: 1024 * 1024,
        batch: 8,
      },
      isGateway,
      workers: 0,
      opened: this.#opened,
    });
  }

  /** Sends a message of each of these types, from ports of their own, and each alone. */
  send(types: readonly number[], port: number): void {
    const sender = this.bench.open({ offload: false });
    types.forEach((type, index) => {
      const offset = this.bench.arena.allocate(148);
      this.bench.arena.view.setUint32(offset, type, true);
      this.bench.arena.view.setUint32(offset + 4, index * 5, true);
      const batch = {
        offsets: Int32Array.of(offset),
        lengths: Int32Array.of(148),
        ...pathsTo([{ address: LOOPBACK, port }]),
      };
      assertEquals(sender.send(batch, 0, 1), 1);
    });
  }

  typesAt(socket: UdpSocket): number[] {
    return this.bench.receive(socket).datagrams.map((bytes) => bytes[0]!);
  }

  [Symbol.dispose](): void {
    this.#opened.dispose();
    this.bench[Symbol.dispose]();
  }
}

/** libc that is refused to choose among the sockets of a port. */
function refusing(): Libc {
  const real = openLibc();
  let isRefused = false;
  const setsockopt: Libc["symbols"]["setsockopt"] = (fd, level, option, value, length) => {
    isRefused = option === SO_ATTACH_REUSEPORT_CBPF;
    return isRefused ? -1 : real.symbols.setsockopt(fd, level, option, value, length);
  };
  return {
    symbols: { ...real.symbols, setsockopt },
    errno: () => isRefused ? EPERM : real.errno(),
  };
}

hostTest(
  "a gateway's transport messages do not wait behind handshakes, which come one at a time",
  () => {
    using site = new Site();
    const { socket, handshakes } = site.open({ isGateway: true });
    site.send([1, 1, 4, 2, 4, 3, 1, 4, 9], socket.port);
    assertEquals(site.typesAt(socket), [4, 4, 4]);
    assertEquals(handshakes!.port, socket.port);
    assertEquals(handshakes!.receive(), 1);
    assertEquals(site.bench.arena.bytes[handshakes!.receivedOffsets[0]!], 1);
    assertEquals(site.typesAt(handshakes!), [1, 2, 3, 1, 9]);
  },
);

hostTest(
  "both sockets of a gateway have the kernel merge datagrams, as it asks either of them",
  () => {
    using site = new Site();
    const { socket, handshakes } = site.open({ isGateway: true });
    assertEquals([socket.receiveOffload, handshakes!.receiveOffload], [true, true]);
  },
);

hostTest("a client has one socket for all", () => {
  using site = new Site();
  const { socket, handshakes } = site.open({ isGateway: false });
  site.send([1, 4, 2], socket.port);
  assertEquals([handshakes, site.typesAt(socket)], [null, [1, 4, 2]]);
});

hostTest(
  "a gateway has one socket for all, at the port that is wanted, where the kernel refuses to tell messages apart",
  () => {
    using site = new Site();
    const { port } = site.open({ isGateway: false }).socket;
    assertThrows(() => site.open({ isGateway: true, port }), SystemCallError, "EADDRINUSE");
    const { socket, handshakes } = site.open({ isGateway: true, libc: refusing() });
    site.send([1, 4, 2], socket.port);
    assertEquals([handshakes, site.typesAt(socket)], [null, [1, 4, 2]]);
  },
);

hostTest("a gateway does not share its port with another gateway", () => {
  using site = new Site();
  const { port } = site.open({ isGateway: true }).socket;
  const error = assertThrows(() => site.open({ isGateway: true, port }), SystemCallError);
  assertEquals(error.errno, EADDRINUSE);
});
