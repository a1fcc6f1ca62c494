/**
 * Worker that sends small datagrams at a steady rate in one namespace and counts them in another.
 *
 * It sends what is due once a millisecond by `sendmmsg`, without UDP_SEGMENT: each datagram meets the tunnel by itself,
 * as from as many programs. Both ends are one thread, so that as much of the machine as can be is left to the tunnel;
 * iperf3, with a system call and a report for each datagram at either end, would measure itself.
 */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { inNamespace } from "../../../ffi/netns.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { type DatagramBatch, pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import type { UdpLoadRequest, UdpTrial } from "./udp_load.ts";
import { answerRequests, sleep } from "./worker_scope.ts";

const PORT = 5005;
/** Datagrams of one system call. */
const BATCH = 32;
/** Room for the buffers of two sockets. */
const ARENA_SIZE = 6 * 1024 * 1024;
const BUFFER_SIZE = 8 * 1024 * 1024;
/** ms between two bursts. */
const INTERVAL = 1;
/** A thread that was kept from running does not make up for more than this many ms: no tunnel's queue holds that. */
const MAX_BACKLOG = 3;
/** ms without a datagram after which none is expected any more, and the most that are waited in all. */
const QUIET_TIME = 60;
const MAX_DRAIN_TIME = 400;

/** Both ends, opened for the first request. */
interface Ends {
  readonly sender: UdpSocket;
  readonly receiver: UdpSocket;
  readonly batch: DatagramBatch;
}

answerRequests(createUdpLoad());

/** What serves requests. All of them are about the same two namespaces. */
function createUdpLoad(): (request: UdpLoadRequest) => UdpTrial {
  let ends: Ends | undefined;
  return (request) => {
    ends ??= openEnds(request);
    receiveAll(ends.receiver);
    return run(ends, request);
  };
}

function openEnds({ senderNamespace, receiverNamespace, address, size }: UdpLoadRequest): Ends {
  const arena = new Arena(ARENA_SIZE);
  const open = (namespace: string, port: number) =>
    inNamespace(namespace, () =>
      UdpSocket.bind(openLibc(), arena, {
        port,
        mark: 0,
        offload: false,
        bufferSize: BUFFER_SIZE,
        batch: BATCH,
      }));
  const capacity = 4096;
  return {
    receiver: open(receiverNamespace, PORT),
    sender: open(senderNamespace, 0),
    batch: {
      offsets: new Int32Array(capacity).fill(arena.allocate(size)),
      lengths: new Int32Array(capacity).fill(size),
      ...pathsTo(new Array(capacity).fill({ address: address, port: PORT })),
    },
  };
}

function run({ sender, receiver, batch }: Ends, { rate, seconds }: UdpLoadRequest): UdpTrial {
  const start = performance.now();
  const perMs = rate / 1000;
  const largest = Math.min(batch.offsets.length, Math.ceil(perMs * MAX_BACKLOG));
  let sent = 0;
  let receivedInTime = 0;
  let due = 0;
  let last = start;
  for (let now = start; now - start < seconds * 1000; now = performance.now()) {
    due = Math.min(due + (now - last) * perMs, largest);
    last = now;
    const count = Math.floor(due);
    sent += sender.send(batch, 0, count);
    due -= count;
    receivedInTime += receiveAll(receiver);
    sleep(INTERVAL);
  }
  const elapsed = performance.now() - start;
  const received = receivedInTime + drain(receiver);
  return { sent, receivedInTime, received, seconds: elapsed / 1000 };
}

/** What is still under way. */
function drain(receiver: UdpSocket): number {
  const start = performance.now();
  let received = 0;
  let lastAt = start;
  for (let now = start; now - lastAt < QUIET_TIME && now - start < MAX_DRAIN_TIME;) {
    sleep(INTERVAL);
    const count = receiveAll(receiver);
    received += count;
    now = performance.now();
    if (count > 0) lastAt = now;
  }
  return received;
}

function receiveAll(receiver: UdpSocket): number {
  let received = 0;
  for (let count = receiver.receive(); count > 0; count = receiver.receive()) received += count;
  return received;
}
