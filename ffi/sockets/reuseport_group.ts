/**
 * Groups of sockets that share a port (SO_REUSEPORT): which of them takes a datagram.
 *
 * The first socket that is bound makes the group; each has the number that comes next. When one is closed, the last
 * takes its number (net/core/sock_reuseport.c, `reuseport_detach_sock()`): a group is closed as a whole.
 */
import type { Libc } from "../libc.ts";
import { SOL_SOCKET } from "../socket_constants.ts";
import { type BpfInstruction, setProgram } from "./packet_filter.ts";

const SO_ATTACH_REUSEPORT_CBPF = 51;

/**
 * Has a classic program choose the socket, for all of the group, from now on: what it returns is the socket's number;
 * if no socket has that, the kernel chooses by a hash of addresses and ports. Its offset 0 is the UDP payload, and a
 * load beyond the end returns 0.
 *
 * Where the kernel merges datagrams (UDP_GRO), or a sender on this host hands them over unsplit (UDP_SEGMENT), the
 * program sees the first one alone, and the others go the same way. Merged are datagrams of one sender's port that are
 * equally long, the last one perhaps shorter: a message of another kind may be behind it.
 *
 * @param fd any socket of the group, bound
 * @throws {SystemCallError} EINVAL for a socket that does not share its port; `isUnavailable` before Linux 4.5 and
 * where a container's rules forbid it
 */
export function steerGroup(libc: Libc, fd: number, program: readonly BpfInstruction[]): void {
  const option = { level: SOL_SOCKET, option: SO_ATTACH_REUSEPORT_CBPF };
  setProgram(libc, fd, option, { program, action: "choose among the sockets of a port" });
}
