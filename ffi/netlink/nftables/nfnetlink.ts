/**
 * Nfnetlink: the message's second header and the batch, which all subsystems of netfilter's netlink share
 * (`linux/netfilter/nfnetlink.h`).
 */
import { SystemCallError } from "../../errno.ts";
import { struct } from "../../layout.ts";
import { MessageBuilder } from "../message.ts";
import type { Batch, BatchedRequest } from "../socket.ts";

export const NFNL_SUBSYS_QUEUE = 3;
export const NFNL_SUBSYS_NFTABLES = 10;

const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;

/** ```c struct nfgenmsg { __u8 nfgen_family; __u8 version; __be16 res_id; }; ``` with `res_id` as its two bytes. */
export const NFGENMSG = struct({
  family: "u8",
  version: "u8",
  resourceHigh: "u8",
  resourceLow: "u8",
});

/** The kernel has no nftables, and cannot load it: no table of ours is there, nor can be. */
export class NoNftablesError extends SystemCallError {
  /** @param errno what the kernel said */
  constructor(errno: number) {
    super("use the firewall", errno);
    this.message =
      `Cannot use the firewall: this kernel has no nftables (${this.code}): load it with \`modprobe nf_tables\`, ` +
      "on the host if this is a container";
  }
}

/** What the headers of a message say. */
export interface NfnetlinkHeader {
  /** `NFNL_SUBSYS_*`. */
  readonly subsystem: number;
  /** The message's number within the subsystem. */
  readonly message: number;
  readonly flags?: number;
  /** `NFPROTO_*`; unspecified if left out. */
  readonly family?: number;
  /** The subsystem's object, such as a queue's number; 0 if left out. */
  readonly resource?: number;
}

/** Starts a message of a subsystem; its attributes are to follow. */
export function nfnetlinkMessage(header: NfnetlinkHeader): MessageBuilder {
  const type = header.subsystem << 8 | header.message;
  return withNfgenmsg(new MessageBuilder(type, header.flags ?? 0), header);
}

/** Puts requests of one subsystem into a batch. */
export function nfnetlinkBatch(subsystem: number, requests: readonly BatchedRequest[]): Batch {
  const mark = (type: number) => withNfgenmsg(new MessageBuilder(type, 0), { resource: subsystem });
  return { begin: mark(NFNL_MSG_BATCH_BEGIN), requests, end: mark(NFNL_MSG_BATCH_END) };
}

function withNfgenmsg(
  message: MessageBuilder,
  { family = 0, resource = 0 }: Pick<NfnetlinkHeader, "family" | "resource">,
): MessageBuilder {
  return message.struct(NFGENMSG, {
    family,
    resourceHigh: resource >>> 8,
    resourceLow: resource & 0xff,
  });
}
