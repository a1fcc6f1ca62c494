/**
 * Owns a program of network tests that sends all the time, whatever comes of it: `udp ADDRESS PORT` and
 * `tcp ADDRESS PORT`, as often as given. UDP to addresses of both families; each TCP attempt is a connection anew.
 */
import { createSocket } from "node:dgram";

/** ms between two rounds. */
const INTERVAL = 100;
/** TCP attempts that wait for an answer at a time, for each target; the kernel repeats theirs, too. */
const MOST_WAITING = 500;

const PAYLOAD = new TextEncoder().encode("chatter");

async function main(args: readonly string[]): Promise<void> {
  const sockets = {
    ipv4: createSocket("udp4"),
    ipv6: createSocket("udp6"),
  };
  // Refused, or unreachable: then the next one.
  for (const socket of Object.values(sockets)) socket.on("error", () => {});
  const rounds: (() => void)[] = [];
  for (let i = 0; i + 2 < args.length; i += 3) {
    const [transport, hostname, port] = [args[i]!, args[i + 1]!, Number(args[i + 2])];
    const socket = hostname.includes(":") ? sockets.ipv6 : sockets.ipv4;
    let waiting = 0;
    rounds.push(() => {
      if (transport === "udp") {
        socket.send(PAYLOAD, port, hostname, () => {});
      } else if (waiting < MOST_WAITING) {
        waiting++;
        Deno.connect({ hostname, port })
          .then((connection) => connection.close(), () => {})
          .finally(() => waiting--);
      }
    });
  }
  for (;;) {
    for (const send of rounds) send();
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

if (import.meta.main) await main(Deno.args);
