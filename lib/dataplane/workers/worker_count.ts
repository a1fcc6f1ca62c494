/** Worker count: how many threads move packets, and why not as many as are wanted. */
import { Arena } from "../../../ffi/arena.ts";
import { loadSocketFilter } from "../../../ffi/bpf.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { steerGroup } from "../../../ffi/sockets/reuseport_group.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { datagramSteering, tunSteering } from "../filters/steering.ts";
import type { DataPlaneConfig } from "../data_plane_protocol.ts";

/** Of a socket that is only opened. */
const ARENA_SIZE = 512 * 1024;

/** What there is only with one thread, by what asks for it. */
function obstacle(
  { egress, hasFakeTcp, addresses6 = [] }: Pick<
    DataPlaneConfig,
    "egress" | "hasFakeTcp" | "addresses6"
  >,
): string | null {
  if (typeof egress === "object") return "Egress = raw needs one";
  if (hasFakeTcp) return "fake TCP needs one";
  if (addresses6.length > 0) return "IPv6 inside the tunnel needs one";
  return kernelsObstacle();
}

/** Packets are handed out by programs in the kernel, which containers and kernels may refuse. */
function kernelsObstacle(): string | null {
  const libc = openLibc();
  try {
    libc.symbols.close(loadSocketFilter(libc, tunSteering(2)));
    using socket = UdpSocket.bind(libc, new Arena(ARENA_SIZE), {
      port: 0,
      sharesPort: true,
      mark: 0,
      offload: false,
      bufferSize: 0,
      batch: 1,
    });
    steerGroup(libc, socket.fd, datagramSteering({ first: 1, count: 2 }));
    return null;
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    return error.message;
  }
}

/**
 * How many there are to be.
 *
 * @returns `reason` is null where there are as many as are wanted
 */
export function workerCount(
  wanted: "auto" | number,
  config: Pick<DataPlaneConfig, "egress" | "hasFakeTcp" | "addresses6">,
): { workers: number; reason: string | null } {
  if (wanted === "auto" || wanted === 1) return { workers: 1, reason: null };
  const reason = obstacle(config);
  return { workers: reason === null ? wanted : 1, reason };
}
