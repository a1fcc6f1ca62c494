/** Relay for UDP that delivers datagrams in another order: what two paths of different length do to a flow. */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { RECEIVE_BUFFER_SIZE } from "../../../ffi/sockets/udp_buffers.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { type TestNamespace } from "../../support/net.ts";
import { Random } from "../../support/random.ts";

/** Datagrams taken at a time: what is reordered is within these. */
const BATCH = 64;
/** How often the relay looks for datagrams, in ms. */
const INTERVAL_MS = 1;
/** How many datagrams are overtaken, and by how many others at most. */
const PROBABILITY = 0.05;
const DISTANCE = 4;

/** A running relay. */
export interface Reordering extends Disposable {
  /** Datagrams that were overtaken by others so far. */
  readonly reordered: number;
}

/**
 * Starts a relay in `namespace`: what comes to `port` from anybody goes to `address`, same port, and back.
 *
 * @param seed decides what is overtaken
 */
export function reorderDatagrams(
  namespace: TestNamespace,
  { address, port, seed = 1 }: { address: string; port: number; seed?: number },
): Reordering {
  const arena = new Arena(BATCH * RECEIVE_BUFFER_SIZE + 128 * 1024);
  const socket = namespace.inside(() =>
    UdpSocket.bind(openLibc(), arena, {
      port,
      mark: 0,
      offload: false,
      bufferSize: 8 * 1024 * 1024,
      batch: BATCH,
    })
  );
  const server = parseIpv4(address)!;
  const random = new Random(seed);
  const client = { address: 0, port: 0 };
  let reordered = 0;
  const relay = () => {
    for (let count = socket.receive(); count > 0; count = socket.receive()) {
      const order = Array.from({ length: count }, (_, index) => index);
      for (let i = 0; i < count; i++) {
        if (!random.chance(PROBABILITY)) continue;
        const to = Math.min(i + random.between(1, DISTANCE), count - 1);
        order.splice(to, 0, ...order.splice(i, 1));
        if (to > i) reordered++;
      }
      const targets = order.map((i) => {
        if (socket.receivedAddresses[i]! >>> 0 === server) return client;
        client.address = socket.receivedAddresses[i]! >>> 0;
        client.port = socket.receivedPorts[i]!;
        return { address: server, port };
      });
      socket.send(
        {
          offsets: Int32Array.from(order, (i) => socket.receivedOffsets[i]!),
          lengths: Int32Array.from(order, (i) => socket.receivedLengths[i]!),
          ...pathsTo(targets),
        },
        0,
        count,
      );
    }
  };
  const timer = setInterval(relay, INTERVAL_MS);
  return {
    get reordered() {
      return reordered;
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      socket[Symbol.dispose]();
    },
  };
}
