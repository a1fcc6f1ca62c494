/** Traffic of network tests: pings, TCP flows, and the count of what passes on a wire. */
import { type TestNamespace } from "../../../support/net.ts";
import { eventually, PATIENCE } from "../../../support/time/patience.ts";

/** What became of a series of pings. */
export interface PingResult {
  readonly sent: number;
  readonly received: number;
}

export interface PingOptions {
  readonly count?: number;
  /** Seconds between two; all at once if left out. */
  readonly interval?: number;
  /** Seconds to wait for the first answer; a few where none is expected. */
  readonly wait?: number;
  /** The address to send from, or the interface. */
  readonly source?: string;
}

/** Seconds that an answer may take where others have come. */
const LINGER = 5;
/** Seconds that the first may take: a stock peer whose handshake was lost, or came late, begins another after five. */
const FIRST = Math.round(PATIENCE / 2000);

/** Pings `address`; that nothing answers is a result, not an error. */
export async function ping(
  namespace: TestNamespace,
  address: string,
  { count = 3, interval, wait = FIRST, source }: PingOptions = {},
): Promise<PingResult> {
  // Once it has had an answer, `ping` waits for the last ones no longer than `-i` or two round trips, which is too
  // short on a busy machine. All at once, it can wait without the others being late.
  const pace = interval === undefined
    ? ["-l", `${count}`, "-i", `${LINGER}`]
    : ["-i", `${interval}`];
  const { stdout, stderr } = await namespace.run([
    "ping",
    "-n",
    "-q",
    ...["-c", `${count}`, ...pace, "-W", `${wait}`],
    ...source === undefined ? [] : ["-I", source],
    address,
  ], { timeoutMs: (count * (interval ?? 0) + wait + LINGER) * 1000 + PATIENCE });
  const match = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
  if (match === null) throw new Error(`Cannot ping ${address}: ${stdout}${stderr}`);
  return { sent: Number(match[1]), received: Number(match[2]) };
}

/** Pings `address` once. @throws {Error} where nothing answers */
export async function expectReached(namespace: TestNamespace, address: string): Promise<void> {
  const { received } = await ping(namespace, address, { count: 1 });
  if (received === 0) throw new Error(`Cannot reach ${address}`);
}

/** What a TCP flow of iperf3 carried. */
export interface FlowResult {
  /** Bytes that the receiving end counted: not those under way when the sender was done. */
  readonly receivedBytes: number;
  /** Bytes by second, as this end saw them. */
  readonly seconds: readonly number[];
}

export interface FlowOptions {
  readonly seconds?: number;
  /** Of TCP: how much is sent, however long that takes, in place of `seconds`. */
  readonly bytes?: number;
  /** How fast it is sent; if left out, TCP as fast as it goes, UDP with 3 Mbit/s. */
  readonly bitsPerSecond?: number;
  /** From the listening end to the other. */
  readonly reverse?: boolean;
  /** Connections at once, of TCP. */
  readonly streams?: number;
}

/**
 * Runs one TCP flow, or several at once, from `client` to `address`, which is an address in `server`.
 *
 * @throws {Error} where iperf3 reports one
 */
export async function tcpFlow(
  client: TestNamespace,
  server: TestNamespace,
  address: string,
  { seconds = 2, bytes, bitsPerSecond, reverse = false, streams = 1 }: FlowOptions = {},
): Promise<FlowResult> {
  await using listener = server.spawn(["iperf3", "-s", "-1", "-B", address, "--forceflush"]);
  await listener.waitFor(/Server listening/);
  const { stdout, stderr } = await client.run([
    ...["iperf3", "-c", address, "--connect-timeout", `${PATIENCE}`, "--json"],
    ...bytes === undefined ? ["-t", `${seconds}`] : ["-n", `${bytes}`],
    // In small blocks, as iperf3 keeps to a rate between one block and the next.
    ...bitsPerSecond === undefined ? [] : ["-b", `${bitsPerSecond}`, "-l", "8K"],
    ...["-P", `${streams}`, ...reverse ? ["-R"] : []],
  ], { timeoutMs: seconds * 1000 + PATIENCE });
  const report = parseReport<FlowReport>(stdout, stderr);
  return {
    receivedBytes: report.end.sum_received.bytes,
    seconds: report.intervals.map((interval) => interval.sum.bytes),
  };
}

/** What became of a UDP flow of iperf3. */
export interface DatagramResult {
  /** Datagrams sent. */
  readonly packets: number;
  /** Those of them that did not arrive. */
  readonly lost: number;
  /** Those that arrived behind a later one. */
  readonly outOfOrder: number;
}

/**
 * Runs one UDP flow from `client` to `address`, which is an address in `server`.
 *
 * @throws {Error} where iperf3 reports one
 */
export async function udpFlow(
  client: TestNamespace,
  server: TestNamespace,
  address: string,
  { seconds = 2, reverse = false, bitsPerSecond = 3e6 }: FlowOptions = {},
): Promise<DatagramResult> {
  await using listener = server.spawn(["iperf3", "-s", "-1", "-B", address, "--forceflush"]);
  await listener.waitFor(/Server listening/);
  const { stdout, stderr } = await client.run([
    ...["iperf3", "-c", address, "-t", `${seconds}`, "--connect-timeout", `${PATIENCE}`, "--json"],
    ...["-u", "-b", `${bitsPerSecond}`, "-l", "1200"],
    ...reverse ? ["-R"] : [],
  ], { timeoutMs: seconds * 1000 + PATIENCE });
  const { sum, streams } = parseReport<DatagramReport>(stdout, stderr).end;
  const outOfOrder = streams.reduce((all, { udp }) => all + udp.out_of_order, 0);
  return { packets: sum.packets, lost: sum.lost_packets, outOfOrder };
}

/** The fields of iperf3's report that are read here, of a TCP flow. */
interface FlowReport {
  readonly error?: string;
  readonly intervals: readonly { readonly sum: { readonly bytes: number } }[];
  readonly end: { readonly sum_received: { readonly bytes: number } };
}

/** The same of a UDP flow. */
interface DatagramReport {
  readonly error?: string;
  readonly end: {
    readonly sum: { readonly packets: number; readonly lost_packets: number };
    readonly streams: readonly { readonly udp: { readonly out_of_order: number } }[];
  };
}

function parseReport<Report extends { readonly error?: string }>(
  stdout: string,
  stderr: string,
): Report {
  let report: Report;
  try {
    report = JSON.parse(stdout);
  } catch {
    throw new Error(`Cannot read the report of iperf3: ${stdout}${stderr}`);
  }
  if (report.error !== undefined) throw new Error(`Cannot run iperf3: ${report.error}`);
  return report;
}

/** Filter for WireGuard's messages of one type, 1 to 4, on the wire. */
export function messageFilter(type: number): string {
  return `udp[8:4] = 0x0${type}000000`;
}

/** Filter for empty transport messages, 32 bytes: keepalives. */
export const KEEPALIVE_FILTER = `${messageFilter(4)} and udp[4:2] = ${8 + 32}`;

/** Filter for transport messages of 48 bytes: heartbeats of ours, and their answers. */
export const HEARTBEAT_FILTER = `${messageFilter(4)} and udp[4:2] = ${8 + 48}`;

/** A count of the packets that pass on an interface and match a filter of tcpdump's. */
export interface Capture extends AsyncDisposable {
  /** Those seen so far. */
  count(): number;
  /** Waits until that many have been seen. */
  waitForCount(count: number): Promise<void>;
}

/** Starts to count; what passes after this has returned is seen. */
export async function capture(
  namespace: TestNamespace,
  interfaceName: string,
  filter: string,
): Promise<Capture> {
  const process = namespace.spawn([
    ...["tcpdump", "-i", interfaceName, "-n", "-l", "-t", "-p", "--immediate-mode", filter],
  ]);
  await process.waitFor(/listening on/);
  const count = () => process.stdout.split("\n").length - 1;
  return {
    count,
    async waitForCount(least) {
      await eventually(() => count() >= least || null, {
        interval: 20,
        what: `${least} packets of "${filter}"`,
      });
    },
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}
