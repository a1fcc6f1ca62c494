/** A kernel's answers to batches of nftables requests, and the requests taken apart. */
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { NLMSGHDR } from "../../../ffi/netlink/message.ts";
import { message, type Reply, ScriptedKernel, together } from "./scripted_kernel.ts";

export const ERROR = 2;
export const DONE = 3;
export const NO_TABLES = message(DONE, "00000000", { flags: 2 });
/** One of the requests in the batch of an opening `Nftables`: the table that it makes, the table that it deletes. */
export const PROBE_REQUESTS = 2;

/** The answer to the message that stands `index` places behind the first of the batch. */
export function answer(index: number, errno = 0): Reply {
  const error = (-errno >>> 0).toString(16).padStart(8, "0").match(/../g)!.reverse().join("");
  return message(ERROR, `${error} ${"00".repeat(16)}`, { flags: 0x100, offset: index });
}

/** Acknowledges the `count` requests of a batch; the first message only begins it. */
export function acknowledge(count: number): Reply {
  return together(...Array.from({ length: count }, (_, i) => answer(i + 1)));
}

export const open = (kernel: ScriptedKernel): Nftables => Nftables.open(kernel.libc());

/** The messages of a datagram. */
export function split(datagram: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let at = 0; at < datagram.length;) {
    const { length } = NLMSGHDR.read(datagram, at);
    messages.push(datagram.subarray(at, at + length));
    at += length;
  }
  return messages;
}

export const DROP = {
  table: "t",
  device: "v0",
  address: 0xc0000201,
  ports: { tcp: [{ first: 40_000, last: 60_000 }], udp: [] },
};
