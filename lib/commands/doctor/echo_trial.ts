/** Echo trial: pings of several lengths with DF at once, and which of them come back. */
import { EMSGSIZE, SystemCallError } from "../../../ffi/errno.ts";
import { IcmpSocket } from "../../../ffi/sockets/icmp_socket.ts";
import { openLibc } from "../../../ffi/libc.ts";
import * as icmp from "../../core/wire/icmp.ts";
import { MIN_HEADER_SIZE } from "../../core/wire/ipv4.ts";
import { echoRequest, isReply } from "../../host/network/ping.ts";

/** ms that the thread sleeps for an answer, and that others have it in between. */
const WAIT = 1;
const INTERVAL = 10;
/** ms after which a request without an answer is sent again. */
const REPETITION = 400;
const RECEIVE_SIZE = 65_536;

/** What pings told. */
export interface EchoTrial {
  /** Bytes of the longest packet that came back; 0 for none. */
  readonly longest: number;
  /** Whether a router, or this host, said that one was too long. */
  readonly wasTold: boolean;
}

/**
 * Pings until the longest is answered or the time is over.
 *
 * @param address IPv4, host order
 * @param lengths bytes of the packets, IP header included
 * @param timeout ms
 * @throws {SystemCallError} EPERM without CAP_NET_RAW, ENETUNREACH where there is no way
 */
export async function tryEcho(
  address: number,
  { lengths, timeout }: { readonly lengths: readonly number[]; readonly timeout: number },
): Promise<EchoTrial> {
  using socket = IcmpSocket.connect(openLibc(), address);
  socket.dontFragment();
  const identifier = crypto.getRandomValues(new Uint16Array(1))[0]!;
  const waiting = new Map(lengths.map((length, index) => [
    length,
    echoRequest({
      identifier,
      sequenceNumber: index + 1,
      payload: new Uint8Array(length - MIN_HEADER_SIZE - icmp.HEADER_SIZE),
    }),
  ]));
  const buffer = new Uint8Array(RECEIVE_SIZE);
  const target = Math.max(...lengths);
  const deadline = performance.now() + timeout;
  let longest = 0;
  let wasTold = false;
  // What a router said of an earlier request is told but once: a second attempt shows whether this one is too long,
  // too.
  const attempt = (call: () => number) => {
    for (let count = 0; count < 2; count++) {
      try {
        return call();
      } catch (error) {
        if (!(error instanceof SystemCallError) || error.errno !== EMSGSIZE) throw error;
        wasTold = true;
      }
    }
    return 0;
  };
  for (let sentAt = -Infinity; longest < target && performance.now() < deadline;) {
    if (performance.now() - sentAt >= REPETITION) {
      for (const request of waiting.values()) {
        attempt(() => {
          socket.send(request);
          return 0;
        });
      }
      sentAt = performance.now();
    }
    for (let length = 1; length > 0;) {
      length = attempt(() => socket.receive(buffer, WAIT));
      const packet = buffer.subarray(0, length);
      for (const [size, request] of waiting) {
        if (length === 0 || !isReply(packet, request)) continue;
        waiting.delete(size);
        longest = Math.max(longest, size);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
  return { longest, wasTold };
}
