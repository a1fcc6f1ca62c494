/**
 * Address families that the kernel may not have: IPv6 with `ipv6.disable=1`, or built without it; policy routing of
 * either.
 */
import { EAFNOSUPPORT, EOPNOTSUPP } from "../errno.ts";
import type { MessageBuilder, NetlinkMessage } from "./message.ts";
import { NetlinkError, type RequestChannel } from "./socket.ts";

/** Reads a whole table of one family; of one that the kernel does not have, there is nothing. */
export function dumpOfFamily(
  channel: RequestChannel,
  message: MessageBuilder,
  action: string,
): NetlinkMessage[] {
  try {
    return channel.dump(message, action);
  } catch (error) {
    if (isUnsupported(error)) return [];
    throw error;
  }
}

/**
 * Whether the kernel has refused for want of the family: what handles its rules says the one, what handles all the
 * other.
 */
export function isUnsupported(error: unknown): error is NetlinkError {
  return error instanceof NetlinkError &&
    (error.errno === EAFNOSUPPORT || error.errno === EOPNOTSUPP);
}
