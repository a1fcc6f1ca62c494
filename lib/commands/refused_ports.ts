/**
 * Refused ports: asks a server's host whether it refuses a port that nobody has. WireGuard answers nobody whom it does
 * not know; a host that refuses other ports, and not the server's, shows that a server listens there or that a firewall
 * drops.
 */
import { ECONNREFUSED, SystemCallError } from "../../ffi/errno.ts";
import { openLibc } from "../../ffi/libc.ts";
import { DatagramSocket } from "../../ffi/sockets/datagram_socket.ts";
import { type HostAddress, socketForm } from "../core/wire/host_address.ts";

/** Where traceroute expects nobody, as well. */
const CLOSED_PORT = 33_523;
const PROBE_TIME = 1_000;
/** ms between two looks for an answer. */
const POLL_INTERVAL = 10;

/** Whether the host says of a port beside the server's, that hardly anybody uses, that nobody listens there. */
export function refusesOtherPorts(
  address: HostAddress,
  { port, mark }: { readonly port: number; readonly mark: number },
): Promise<boolean> {
  const other = port === CLOSED_PORT ? CLOSED_PORT - 1 : CLOSED_PORT;
  return refusesPort(address, { port: other, mark });
}

/** Whether the host says of this port that nobody listens there. */
export async function refusesPort(
  address: HostAddress,
  { port, mark }: { readonly port: number; readonly mark: number },
): Promise<boolean> {
  try {
    using socket = DatagramSocket.connect(openLibc(), { address: socketForm(address), port }, mark);
    const deadline = performance.now() + PROBE_TIME;
    for (let sentAt = -Infinity; performance.now() < deadline;) {
      // A host refuses but a few a second (RFC 1812 section 4.3.2.8).
      if (performance.now() - sentAt >= PROBE_TIME / 3) {
        sentAt = performance.now();
        socket.send(new Uint8Array(1));
      }
      socket.receive(new Uint8Array(1));
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
    }
    return false;
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    return error.errno === ECONNREFUSED;
  }
}
