/** TCP throughput through a tunnel, by iperf3. */
import type { BackgroundProcess, TestNamespace } from "../../support/net.ts";
import { delay, SERVER_INSIDE } from "../../net/support/wire.ts";

/** Time for iperf3's server to get over a failed test. */
const RETRY_DELAY_MS = 500;

export interface TcpOptions {
  /** Of iperf3's listening end; the server's inner one if left out. */
  readonly address?: string;
  readonly seconds: number;
  readonly streams?: number;
  /** From the server to the client. */
  readonly down?: boolean;
}

/** iperf3's listening end, at the server's inner address or another. */
export async function startIperfServer(
  namespace: TestNamespace,
  address = SERVER_INSIDE,
): Promise<BackgroundProcess> {
  const process = namespace.spawn(["iperf3", "-s", "-B", address, "--forceflush"]);
  await process.waitFor(/Server listening/);
  return process;
}

/** What a transfer carried. */
export interface TcpResult {
  /** Gbit/s of payload, as the receiving end counted it. */
  readonly rate: number;
  /** Payload bytes. */
  readonly bytes: number;
}

/**
 * Runs one transfer; `startIperfServer()` must have been called. iperf3 sometimes loses its own control connection, so
 * one failure is no result.
 *
 * @throws {Error} where iperf3 reports one twice
 */
export async function measureTcp(client: TestNamespace, options: TcpOptions): Promise<TcpResult> {
  try {
    return await transfer(client, options);
  } catch {
    await delay(RETRY_DELAY_MS);
    return await transfer(client, options);
  }
}

async function transfer(client: TestNamespace, options: TcpOptions): Promise<TcpResult> {
  const { address = SERVER_INSIDE, seconds, streams = 1, down = false } = options;
  await using process = client.spawn([
    ...["iperf3", "-c", address, "-t", `${seconds}`, "-P", `${streams}`],
    ...["--connect-timeout", "3000", "--json"],
    ...down ? ["-R"] : [],
  ]);
  const timer = setTimeout(() => process.signal("SIGKILL"), (seconds + 10) * 1000);
  await process.status;
  clearTimeout(timer);
  return readReport(process.stdout, process.stderr);
}

/** The fields of iperf3's report that are read here. */
interface IperfReport {
  readonly error?: string;
  readonly end: {
    readonly sum_received: { readonly bytes: number; readonly bits_per_second: number };
  };
}

function readReport(stdout: string, stderr: string): TcpResult {
  let report: IperfReport;
  try {
    report = JSON.parse(stdout);
  } catch {
    throw new Error(`Cannot read the report of iperf3: ${stdout}${stderr}`);
  }
  if (report.error !== undefined) throw new Error(`Cannot run iperf3: ${report.error}`);
  const { bits_per_second, bytes } = report.end.sum_received;
  return { rate: bits_per_second / 1e9, bytes };
}
