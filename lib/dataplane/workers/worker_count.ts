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
import { type AutomaticThreads, automaticThreads } from "./automatic_threads.ts";
import { partsOf, wholeNat } from "./nat_parts.ts";

/** Of what is only opened. */
const ARENA_SIZE = 512 * 1024;
/** Ports of the NAT that each has at least, however many are asked for: a page takes dozens, a client half at most. */
const LEAST_PORTS = 256;
/** The kernel puts a number there. */
const TRIAL_TUN = "vpntrial%d";

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
  /** What decided how many, in words. */
  readonly decidedBy: string;
  /** Why there is one thread, or one that translates, though several are asked for; null where there is not. */
  readonly oneThread: string | null;
}

/** `DataPlaneThreads`, and what `auto` goes by besides the data plane's configuration. */
export interface WantedThreads {
  readonly wanted: "auto" | number;
  /** Whether other gateways have the same peers. */
  readonly isInFleet: boolean;
  /** Those that this process may use: by its affinity, and by its control group's quota. */
  readonly processors: number;
}

/** How many there are to be, and what is to be one's all the same. */
export function workerCount(
  { wanted, ...surroundings }: WantedThreads,
  { egress, isGateway, hasFakeTcp }: Pick<DataPlaneConfig, "egress" | "isGateway" | "hasFakeTcp">,
): WorkerCount {
  const nat = typeof egress === "object" ? egress : null;
  return wanted === "auto"
    ? ofItself(automaticThreads({ ...surroundings, isGateway, hasFakeTcp, nat }), nat)
    : asked(wanted, nat);
}

/** Nobody has asked for several, so that nobody misses them where the kernel refuses. */
function ofItself({ threads, decidedBy }: AutomaticThreads, nat: EgressConfig | null): WorkerCount {
  const obstacle = threads === 1 ? null : kernelsObstacle(nat);
  return {
    workers: obstacle === null ? threads : 1,
    hasOneNat: false,
    decidedBy: `auto: ${obstacle ?? decidedBy}`,
    oneThread: null,
  };
}

function asked(wanted: number, nat: EgressConfig | null): WorkerCount {
  const decidedBy = `DataPlaneThreads = ${wanted}`;
  const one = { workers: 1, hasOneNat: false, decidedBy, oneThread: null };
  if (wanted === 1) return one;
  const whole = nat === null ? null : obstacleToParts(nat, wanted);
  const oneThread = kernelsObstacle(whole === null ? nat : null);
  if (oneThread !== null) return { ...one, oneThread };
  return { workers: wanted, hasOneNat: whole !== null, decidedBy, oneThread: whole };
}

/** Why a NAT cannot be divided among so many workers; null where it can be. */
function obstacleToParts(nat: EgressConfig, wanted: number): string | null {
  const whole = wholeNat(nat);
  if (whole !== null) return whole;
  return partsOf(nat, LEAST_PORTS) < wanted
    ? `NatPorts has fewer than ${LEAST_PORTS} ports for each`
    : null;
}
