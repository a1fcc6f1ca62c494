/** Tests of the UDP service over the loopback interface: which datagrams are looked at. */
import { openLibc } from "../../../../ffi/libc.ts";
import { DatagramSocket } from "../../../../ffi/sockets/datagram_socket.ts";
import { ReadinessWatcher } from "../../../../ffi/sockets/readiness.ts";
import { UdpService } from "../../../../lib/services/dns_proxy/udp_service.ts";
import { Bench, LOOPBACK } from "../../../bench/udp_bench.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

/** A port that was free just now. */
function freePort(): number {
  using bench = new Bench();
  return bench.open().port;
}

hostTest(
  "what is longer than any question is not looked at, and costs its client nothing",
  async () => {
    const libc = openLibc();
    const port = freePort();
    const admitted: number[] = [];
    const { promise: last, resolve } = Promise.withResolvers<void>();
    await using watcher = new ReadinessWatcher(libc);
    using _service = new UdpService(libc, watcher, {
      address: LOOPBACK,
      port,
      clientOf: (address) => address,
      admit: () => true,
      answer: (query) => {
        admitted.push(query.length);
        if (query.length === 13) resolve();
        return Promise.resolve(null);
      },
    });
    using client = DatagramSocket.connect(libc, { address: LOOPBACK, port }, 0);
    for (const length of [11, 12, 4_096, 4_097, 60_000, 13]) client.send(new Uint8Array(length));
    await last;
    assertEquals(admitted, [12, 4_096, 13]);
  },
);
