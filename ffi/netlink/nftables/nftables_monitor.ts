/** Notifications about nftables: that somebody, possibly this process, has changed the firewall. */
import { EMSGSIZE, ENOBUFS, SystemCallError } from "../../errno.ts";
import type { Libc } from "../../libc.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../socket.ts";

/** linux/netfilter/nfnetlink.h */
const NFNLGRP_NFTABLES = 7;
/** Bytes that the kernel may hold for us: what is lost counts as a change, too. */
const RECEIVE_QUEUE_SIZE = 256 * 1024;
/** That one call reads; the next one goes on. */
const MAX_MESSAGES = 1_000;

export class NftablesMonitor implements Disposable {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /**
   * Starts to listen in the network namespace that the thread is in now.
   *
   * @throws {SystemCallError} where the kernel has no nftables, or without CAP_NET_ADMIN
   */
  static open(libc: Libc): NftablesMonitor {
    const socket = NetlinkSocket.open(libc, {
      protocol: NETLINK_NETFILTER,
      nonBlocking: true,
      receiveQueueSize: RECEIVE_QUEUE_SIZE,
    });
    try {
      socket.subscribe(NFNLGRP_NFTABLES);
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
    return new NftablesMonitor(socket);
  }

  /** Whether anything has changed since the last call; never waits. */
  hasChanged(): boolean {
    let isChanged = false;
    // Somebody who changes the firewall in a tight loop must not keep us here.
    for (let count = 0; count < MAX_MESSAGES; count++) {
      try {
        if (this.#socket.receive() === null) break;
      } catch (error) {
        // Dropped notifications: what they said is not known, only that there was something.
        const isLoss = error instanceof SystemCallError &&
          (error.errno === ENOBUFS || error.errno === EMSGSIZE);
        if (!isLoss) throw error;
      }
      isChanged = true;
    }
    return isChanged;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
