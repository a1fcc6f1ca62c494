/**
 * Fanout groups of packet sockets (PACKET_FANOUT): each packet goes to one socket of the group, which a program
 * chooses.
 *
 * A socket joins when it is bound, and cannot be bound elsewhere afterwards (`packet_do_bind()` says EINVAL). Each has
 * the number that comes next; when one is closed, the last takes its number. When the interface goes down and comes up
 * again, all get new numbers, in the order in which they were opened: so join in that order.
 */
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import { SOL_PACKET } from "../socket_constants.ts";
import { requireOption } from "../socket_options.ts";
import { type BpfInstruction, setProgram } from "./packet_filter.ts";

// include/uapi/linux/if_packet.h
const PACKET_FANOUT = 18;
const PACKET_FANOUT_DATA = 22;
const PACKET_FANOUT_CBPF = 6;
const PACKET_FANOUT_FLAG_UNIQUEID = 0x2000;
/** The group has a hook of its own, which does not know of the sockets' PACKET_IGNORE_OUTGOING. */
const PACKET_FANOUT_FLAG_IGNORE_OUTGOING = 0x4000;
const TYPE_SHIFT = 16;

/**
 * Makes a group with this socket in it. Until there is a program, the first socket takes all packets.
 *
 * @param fd a packet socket, bound
 * @returns the group's number, which no other in the network namespace has
 * @throws {SystemCallError} `isUnavailable` before Linux 4.20 and where a container's rules forbid it
 */
export function startFanout(libc: Libc, fd: number): number {
  join(libc, fd, 0, PACKET_FANOUT_FLAG_UNIQUEID);
  const value = new Uint32Array(1);
  const length = Uint32Array.of(value.byteLength);
  const { getsockopt } = libc.symbols;
  check(libc, getsockopt(fd, SOL_PACKET, PACKET_FANOUT, value, length), "ask for a fanout group");
  return value[0]! & 0xffff;
}

/**
 * Joins a group.
 *
 * @param fd a packet socket, bound to the same interface as those in the group
 * @throws {SystemCallError} EINVAL where it is bound elsewhere, ENOSPC where there are 256 in the group
 */
export function joinFanout(libc: Libc, fd: number, group: number): void {
  join(libc, fd, group, 0);
}

/**
 * Has a classic program choose the socket, for all of the group, from now on: what it returns, modulo the count of
 * sockets, is the socket's number. Its offset 0 is the IP header, whatever the sockets show in front of it, and a load
 * beyond the end returns 0. The socket's own filter comes behind it.
 *
 * @param fd any socket of the group
 * @throws {SystemCallError} EPERM where a filter is locked (SO_LOCK_FILTER)
 */
export function steerFanout(libc: Libc, fd: number, program: readonly BpfInstruction[]): void {
  const option = { level: SOL_PACKET, option: PACKET_FANOUT_DATA };
  setProgram(libc, fd, option, { program, action: "choose among the sockets of a fanout group" });
}

function join(libc: Libc, fd: number, group: number, flags: number): void {
  const how = PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_IGNORE_OUTGOING | flags;
  const option = { level: SOL_PACKET, option: PACKET_FANOUT, value: group | how << TYPE_SHIFT };
  requireOption(libc, fd, option, "share packets among sockets");
}
