/**
 * Program for an attack: TCP connections that carry numbered records both ways all the time, and whose ends look at
 * each byte. `numbered_connections.ts serve ADDRESS PORT` accepts them, `... connect ADDRESS PORT COUNT` opens them.
 * Each line that it prints is a `Count` as JSON. SIGUSR1 has the one that has opened them send no more; a connection
 * has ended when each end has read all that the other one has sent.
 */
import { writeText } from "../../lib/process/output.ts";

/** What an end knows of its connections. */
export interface Count {
  readonly open: number;
  /** Those that ended as they should, with all that was sent. */
  readonly intact: number;
  /** Why the others did not, a line each. */
  readonly lost: readonly string[];
  readonly sent: number;
  readonly received: number;
  /** Records of the connection that has received the fewest. */
  readonly fewest: number;
  /** ms, the longest that one of them has waited for the next record. */
  readonly longestGap: number;
}

const RECORD = 256;
const SEND_INTERVAL = 100;
const TELL_INTERVAL = 200;
const NUMBER_SIZE = 4;

class Connection {
  sent = 0;
  received = 0;
  longestGap = 0;
  readonly #socket: Deno.TcpConn;
  readonly #isEnding: () => boolean;

  /** @param isEnding whether no more is to be sent */
  constructor(socket: Deno.TcpConn, isEnding: () => boolean) {
    this.#socket = socket;
    this.#isEnding = isEnding;
  }

  /** Resolves at a right end. */
  async run(): Promise<void> {
    let isOver = false;
    const read = this.#read().finally(() => isOver = true);
    await Promise.all([read, this.#write(() => isOver || this.#isEnding())]);
  }

  async #write(isEnding: () => boolean): Promise<void> {
    while (!isEnding()) {
      await writeAll(this.#socket, record(this.sent));
      this.sent++;
      await new Promise((resolve) => setTimeout(resolve, SEND_INTERVAL));
    }
    await this.#socket.closeWrite();
  }

  async #read(): Promise<void> {
    const bytes = new Uint8Array(RECORD);
    for (let filled = 0, at = performance.now();;) {
      const length = await this.#socket.read(bytes.subarray(filled));
      if (length === null) {
        if (filled > 0) throw new Error(`ended in the midst of record ${this.received}`);
        return;
      }
      filled += length;
      if (filled < RECORD) continue;
      if (record(this.received).some((byte, i) => byte !== bytes[i])) {
        throw new Error(`something else in place of record ${this.received}`);
      }
      filled = 0;
      this.received++;
      const now = performance.now();
      this.longestGap = Math.max(this.longestGap, now - at);
      at = now;
    }
  }
}

/** A record: its number, and bytes that follow from it. */
function record(number: number): Uint8Array {
  const bytes = new Uint8Array(RECORD);
  new DataView(bytes.buffer).setUint32(0, number);
  for (let i = NUMBER_SIZE; i < RECORD; i++) bytes[i] = number * 31 + i;
  return bytes;
}

async function writeAll(socket: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await socket.write(bytes.subarray(done));
}

async function main([role, hostname = "", port = "", count = ""]: readonly string[]) {
  const connections: Connection[] = [];
  const lost: string[] = [];
  let intact = 0;
  let isEnding = false;
  const add = (socket: Deno.TcpConn) => {
    const connection = new Connection(socket, () => isEnding);
    const number = connections.push(connection);
    connection.run().then(() => intact++, (error) => lost.push(`${number}: ${error.message}`))
      .finally(() => socket.close());
  };
  setInterval(() => {
    const told: Count = {
      open: connections.length - intact - lost.length,
      intact,
      lost,
      sent: connections.reduce((sum, { sent }) => sum + sent, 0),
      received: connections.reduce((sum, { received }) => sum + received, 0),
      fewest: Math.min(...connections.map(({ received }) => received)),
      longestGap: Math.round(Math.max(...connections.map(({ longestGap }) => longestGap))),
    };
    writeText(Deno.stdout, `${JSON.stringify(told)}\n`);
  }, TELL_INTERVAL);
  if (role === "serve") {
    for await (const socket of Deno.listen({ hostname, port: Number(port) })) add(socket);
  }
  Deno.addSignalListener("SIGUSR1", () => isEnding = true);
  for (let i = 0; i < Number(count); i++) add(await Deno.connect({ hostname, port: Number(port) }));
}

if (import.meta.main) await main(Deno.args);
