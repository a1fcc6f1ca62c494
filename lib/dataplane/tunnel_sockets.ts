/**
 * Sockets of the tunnel's UDP port. A gateway has two, of which one takes the transport messages and the other all
 * else: what a session brings does not wait behind the handshakes of a thousand clients at once, nor is it lost where a
 * flood of handshakes fills a buffer. The kernel tells them apart; where it cannot, there is one socket for all.
 */
import type { Arena } from "../../ffi/arena.ts";
import { SystemCallError } from "../../ffi/errno.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { steerGroup } from "../../ffi/sockets/reuseport_group.ts";
import { UdpBuffers } from "../../ffi/sockets/udp_buffers.ts";
import { UdpSocket, type UdpSocketOptions } from "../../ffi/sockets/udp_socket.ts";
import { datagramSteering } from "./filters/steering.ts";

/** Wanted size of the handshakes' buffer: some thousand of them, which are worked off within a second. */
const HANDSHAKES_BUFFER_SIZE = 2 * 1024 * 1024;

export interface TunnelSockets {
  /** What everything is sent by. */
  readonly socket: UdpSocket;
  /** What the handshakes come to, one at a time, so that the next one stays until it is wanted; null for one socket. */
  readonly handshakes: UdpSocket | null;
}

/**
 * Opens them.
 *
 * @param opened takes what is opened
 * @throws {SystemCallError} when the port is taken or a privilege is missing
 */
export function openTunnelSockets(
  libc: Libc,
  arena: Arena,
  { options, isGateway, workers, opened }: {
    readonly options: UdpSocketOptions;
    readonly isGateway: boolean;
    /** How many packet workers open sockets of their own after this, which the transport messages come to. */
    readonly workers: number;
    readonly opened: DisposableStack;
  },
): TunnelSockets {
  const alone = { ...options, buffers: new UdpBuffers(arena, options.batch) };
  const bind = (how: UdpSocketOptions) => UdpSocket.bind(libc, arena, how);
  if (workers > 0) return { socket: opened.use(openFirst(bind, alone, workers)), handshakes: null };
  if (!isGateway) return { socket: opened.use(bind(alone)), handshakes: null };
  // Another program of this user's that shares its ports would let us share this one.
  const port = withDisposed(bind(alone), (socket) => socket.port);
  using attempt = new DisposableStack();
  try {
    // With the same offloads: a flow's datagrams are merged where the kernel, before it looks into one, happens upon a
    // socket of the group that wants them merged (`udp4_gro_lookup_skb()` has it choose without a packet).
    const handshakes = attempt.use(bind({
      ...options,
      port,
      sharesPort: true,
      batch: 1,
      bufferSize: HANDSHAKES_BUFFER_SIZE,
    }));
    const socket = attempt.use(bind({ ...alone, port, sharesPort: true }));
    steerGroup(libc, socket.fd, datagramSteering({ first: 1, count: 1 }));
    opened.use(attempt.move());
    return { socket, handshakes };
  } catch (error) {
    if (!(error instanceof SystemCallError && error.isUnavailable)) throw error;
  }
  attempt.dispose();
  return { socket: opened.use(bind({ ...alone, port })), handshakes: null };
}

/**
 * The first socket of a group, which all comes to but the transport messages.
 *
 * @throws {SystemCallError} also where the kernel cannot tell them apart
 */
function openFirst(
  bind: (how: UdpSocketOptions) => UdpSocket,
  options: UdpSocketOptions,
  workers: number,
): UdpSocket {
  const port = withDisposed(bind(options), (socket) => socket.port);
  using attempt = new DisposableStack();
  const socket = attempt.use(bind({ ...options, port, sharesPort: true }));
  steerGroup(openLibc(), socket.fd, datagramSteering({ first: 1, count: workers }));
  attempt.move();
  return socket;
}

function withDisposed<Resource extends Disposable, Result>(
  resource: Resource,
  use: (resource: Resource) => Result,
): Result {
  using used = resource;
  return use(used);
}
