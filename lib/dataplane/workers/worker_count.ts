/** Worker count: how many threads move packets, and why not as many as are wanted. */
import { Arena } from "../../../ffi/arena.ts";
import { loadSocketFilter } from "../../../ffi/bpf.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { startFanout, steerFanout } from "../../../ffi/sockets/packet_fanout.ts";
import { PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import { steerGroup } from "../../../ffi/sockets/reuseport_group.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { Tun } from "../../../ffi/tun.ts";
import { RET, statement } from "../filters/bpf.ts";
import { datagramSteering, outsideSteering, tunSteering } from "../filters/steering.ts";
import type { DataPlaneConfig } from "../data_plane_protocol.ts";
import type { EgressConfig } from "../egress/egress.ts";

/** Of what is only opened. */
const ARENA_SIZE = 512 * 1024;
/** Ports of the NAT that each worker has at least: a web page takes dozens, and a client has half at most. */
const LEAST_PORTS = 256;
/** The kernel puts a number there. */
const TRIAL_TUN = "vpntrial%d";

/** Why a NAT cannot be divided among so many workers; null where it can be. */
function wholeNat(wanted: number, { capture, ports, services }: EgressConfig): string | null {
  if (capture !== "packet") return "Capture = nfqueue needs one";
  if (services.length > 0) {
    return "a Forward to several back ends, to a peer's name, outside the tunnel, or at an address of its own needs one";
  }
  return ports.last - ports.first + 1 < wanted * LEAST_PORTS
    ? `NatPorts has fewer than ${LEAST_PORTS} ports for each`
    : null;
}

/** Packets are handed out by programs in the kernel, which containers and kernels may refuse. */
function kernelsObstacle(nat: EgressConfig | null): string | null {
  const libc = openLibc();
  const arena = new Arena(ARENA_SIZE);
  try {
    tryGroup(libc, arena);
    if (nat !== null) tryFanout(libc, arena, nat);
    tryQueues(libc, arena);
    return null;
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    return error.message;
  }
}

function tryGroup(libc: Libc, arena: Arena): void {
  using socket = UdpSocket.bind(libc, arena, {
    port: 0,
    sharesPort: true,
    mark: 0,
    offload: false,
    bufferSize: 0,
    batch: 1,
  });
  steerGroup(libc, socket.fd, datagramSteering({ first: 1, count: 2 }));
}

function tryFanout(libc: Libc, arena: Arena, { ports }: EgressConfig): void {
  const nothing = [statement(RET, 0)];
  using socket = PacketSocket.open(libc, arena, {
    link: "all",
    filter: nothing,
    batch: 1,
    bufferSize: 0,
  });
  startFanout(libc, socket.fd);
  steerFanout(libc, socket.fd, outsideSteering({ range: ports, count: 2, forwards: [] }));
}

/** That a kernel has none of it shows only at a device; this one is gone at once. */
function tryQueues(libc: Libc, arena: Arena): void {
  const steering = loadSocketFilter(libc, tunSteering(2));
  try {
    using tun = Tun.open(libc, arena, TRIAL_TUN, "many");
    tun.steer(steering);
  } finally {
    libc.symbols.close(steering);
  }
}

export interface WorkerCount {
  /** How many there are to be. */
  readonly workers: number;
  /** Whether one of them is to translate for all. */
  readonly hasOneNat: boolean;
  /** Why there is one thread, or one that translates, though several are wanted; null where there is not. */
  readonly reason: string | null;
}

/** How many there are to be, and what is to be one's all the same. */
export function workerCount(
  wanted: "auto" | number,
  config: Pick<DataPlaneConfig, "egress">,
): WorkerCount {
  if (wanted === "auto" || wanted === 1) return { workers: 1, hasOneNat: false, reason: null };
  const nat = typeof config.egress === "object" ? config.egress : null;
  const whole = nat === null ? null : wholeNat(wanted, nat);
  const reason = kernelsObstacle(whole === null ? nat : null);
  if (reason !== null) return { workers: 1, hasOneNat: false, reason };
  return { workers: wanted, hasOneNat: whole !== null, reason: whole };
}
