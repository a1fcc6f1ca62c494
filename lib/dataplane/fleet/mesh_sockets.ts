/**
 * Mesh sockets: those of the port at which a gateway hears the others. Anybody can send to it: what is no message of a
 * session has a socket of its own, and sessions' messages have one for each lane (core/fleet/mesh/lanes.ts).
 */
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { steerGroup } from "../../../ffi/sockets/reuseport_group.ts";
import { UdpBuffers } from "../../../ffi/sockets/udp_buffers.ts";
import { UdpSocket, type UdpSocketOptions } from "../../../ffi/sockets/udp_socket.ts";
import { LANES, OWN_LANE } from "../../core/fleet/mesh/lanes.ts";
import { sessionSteering } from "../filters/steering.ts";
import { openTunnelSockets } from "../tunnel_sockets.ts";

const BUFFER_SIZE = 1024 * 1024;
const LANE_BUFFER_SIZE = 512 * 1024;

export class MeshSockets implements Disposable {
  /** Of what gateways say themselves, and what everything is sent by. */
  readonly own: UdpSocket;
  /** Of the other lanes, from the first on; none where the kernel cannot tell them apart. */
  readonly lanes: readonly UdpSocket[];
  /** Of what belongs to no session; null where the kernel cannot tell it apart. */
  readonly others: UdpSocket | null;
  readonly #libc: Libc;
  readonly #resources: DisposableStack;
  /** Receiver indices of the sessions that the kernel knows of; null before it was told. */
  #steered: readonly number[] | null = null;

  /**
   * @param port 0 takes a free one
   * @throws {SystemCallError} when the port is taken
   */
  constructor(
    libc: Libc,
    arena: Arena,
    { port, mark, batch }: Pick<UdpSocketOptions, "port" | "mark" | "batch">,
  ) {
    this.#libc = libc;
    using opened = new DisposableStack();
    const options = { port, bothFamilies: true, mark, offload: false, batch };
    const { socket, handshakes } = openTunnelSockets(libc, arena, {
      options: { ...options, bufferSize: BUFFER_SIZE },
      isGateway: true,
      workers: 0,
      opened,
    });
    this.own = socket;
    this.others = handshakes;
    this.lanes = handshakes === null ? [] : openLanes(libc, arena, opened, {
      ...options,
      port: socket.port,
      sharesPort: true,
      bufferSize: LANE_BUFFER_SIZE,
      buffers: new UdpBuffers(arena, batch),
    });
    this.#resources = opened.move();
  }

  /** Tells the kernel which sessions there are, by their receiver indices, if they are others. */
  steer(indices: readonly number[]): void {
    if (this.others === null) return;
    const known = this.#steered;
    const isKnown = known !== null && indices.length === known.length &&
      indices.every((index, place) => index === known[place]);
    if (isKnown) return;
    this.#steered = indices;
    steerGroup(this.#libc, this.others.fd, sessionSteering(indices));
  }

  /** Datagrams that the kernel has dropped, as a buffer was full. */
  drops(): number {
    return [this.own, ...this.lanes].reduce((sum, socket) => sum + socket.drops(), 0) +
      (this.others?.drops() ?? 0);
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

/** In this order they follow the first lane's socket in the group. */
function openLanes(
  libc: Libc,
  arena: Arena,
  opened: DisposableStack,
  options: UdpSocketOptions,
): UdpSocket[] {
  const count = LANES - (OWN_LANE + 1);
  return Array.from({ length: count }, () => opened.use(UdpSocket.bind(libc, arena, options)));
}
