/** NAT link: what the NAT knows of one of its two sides. */
import { PacketQueue } from "../wire/packet_queue.ts";
import { PATH_ERRORS_PER_SECOND } from "./constants.ts";
import { IcmpErrorLimiter } from "./icmp/icmp_error.ts";

/** Packets that wait in a queue before the caller drains it: those translated, their fragments, errors. */
const QUEUE_CAPACITY = 1024;

export class NatLink {
  /** Packets that leave by it. */
  readonly queue: PacketQueue = new PacketQueue(QUEUE_CAPACITY);
  /** Bytes. */
  mtu: number;
  /** The gateway's address on this side, signed. */
  address: number;
  /** Of ICMP errors to those on this side: each side has its own, so that strangers cannot use up the clients'. */
  readonly limiter: IcmpErrorLimiter;
  readonly pathLimiter: IcmpErrorLimiter;

  constructor(options: { mtu: number; address: number; errorReceivers: number }) {
    this.mtu = options.mtu;
    this.address = options.address | 0;
    this.limiter = new IcmpErrorLimiter(options.errorReceivers);
    this.pathLimiter = new IcmpErrorLimiter(options.errorReceivers, PATH_ERRORS_PER_SECOND);
  }
}
