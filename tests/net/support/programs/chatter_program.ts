/**
 * Program of network tests that sends all the time, whatever comes of it, to targets as `udp://192.0.2.1:53`,
 * `udp://192.0.2.1:67?from=68` (the port to send from) or `tcp://[2001:db8::1]:80`. Each TCP attempt is a connection
 * again.
 */
import { createSocket, type Socket } from "node:dgram";

/** ms between two rounds. */
const INTERVAL = 100;
/** TCP attempts that wait for an answer at a time, for each target; the kernel repeats theirs, too. */
const MOST_WAITING = 500;

const PAYLOAD = new TextEncoder().encode("chatter");

/** Returns what sends to a target once. */
function sender(target: string): () => void {
  const { protocol, hostname: bracketed, port: portText, searchParams } = new URL(target);
  const hostname = bracketed.replaceAll(/[[\]]/g, "");
  const port = Number(portText);
  if (protocol === "udp:") {
    const socket: Socket = createSocket(hostname.includes(":") ? "udp6" : "udp4");
    // Refused, or unreachable: then the next one.
    socket.on("error", () => {});
    socket.bind(Number(searchParams.get("from") ?? 0));
    return () => socket.send(PAYLOAD, port, hostname, () => {});
  }
  let waiting = 0;
  return () => {
    if (waiting >= MOST_WAITING) return;
    waiting++;
    Deno.connect({ hostname, port })
      .then((connection) => connection.close(), () => {})
      .finally(() => waiting--);
  };
}

async function main(targets: readonly string[]): Promise<void> {
  const senders = targets.map(sender);
  for (;;) {
    for (const send of senders) send();
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

if (import.meta.main) await main(Deno.args);
