/**
 * Reports of the data plane: what the main thread and the log are told without asking: peers' events, drops, refusals.
 */
import { DropLog } from "../core/engine/drop_log.ts";
import type { Peer } from "../core/wireguard/peer.ts";
import { type PeerReportKind, PeerReports } from "../core/wireguard/peer_reports.ts";
import type { DataPlaneParts } from "./build.ts";
import { TraceLines } from "./egress/packet_trace.ts";
import type { PeerCounts } from "./data_plane_protocol.ts";
import type { SendErrors } from "./statistics.ts";

export class Reports {
  /** About peers, as often as is good. */
  readonly peers: PeerReports = new PeerReports((kind, peer) => this.#reportPeer(kind, peer));
  readonly #parts: DataPlaneParts;
  readonly #sendErrors: SendErrors;
  readonly #dropLog: DropLog;
  /** Bytes both ways that `newUsage()` has told. */
  readonly #usageTold = new Map<Peer, number>();
  readonly #traceLines = new TraceLines((line) => this.log("trace", line));
  #isSegmentationTold: boolean;
  #egressErrorsTold = "{}";

  constructor(parts: DataPlaneParts, sendErrors: SendErrors) {
    this.#parts = parts;
    this.#sendErrors = sendErrors;
    this.#dropLog = new DropLog(parts.drops);
    this.#isSegmentationTold = parts.socket.segmentation;
  }

  /** When `poll()` has something to do though nothing has happened, monotonic ms. */
  pollAt(): number {
    return this.peers.pollAt();
  }

  poll(now: number): void {
    this.#tellFallBack();
    this.peers.poll(now);
    if (this.#dropLog.hasNews) this.#tellDrops(now);
  }

  /** Logs each packet that goes outside from now on, or no more. */
  setTrace(trace: boolean): void {
    const { egresses, loop } = this.#parts;
    egresses.trace = trace ? (line) => this.#traceLines.add(line, loop.now()) : null;
  }

  log(level: "trace" | "info" | "warning", message: string): void {
    this.#parts.report({ kind: "log", level, category: "dataplane", message });
  }

  /** Tells what a peer has sent and been sent. */
  usage(peer: Peer, isRemoved: boolean): void {
    if (isRemoved) this.#usageTold.delete(peer);
    this.#parts.report({ kind: "usage", ...countsOf(peer), isRemoved });
  }

  /** The same of those that more has passed with since this was last asked for: most of thousands are idle. */
  newUsage(): PeerCounts[] {
    const counts: PeerCounts[] = [];
    for (const peer of this.#parts.device.peers) {
      const used = peer.receivedBytes + peer.sentBytes;
      if (used === (this.#usageTold.get(peer) ?? 0)) continue;
      this.#usageTold.set(peer, used);
      counts.push(countsOf(peer));
    }
    return counts;
  }

  /** Says once what the socket had to give up. */
  #tellFallBack(): void {
    const { segmentation } = this.#parts.socket;
    if (segmentation === this.#isSegmentationTold) return;
    this.#isSegmentationTold = segmentation;
    this.log(
      "warning",
      "the kernel refused UDP segmentation offload: datagrams are now sent one at a time",
    );
  }

  #reportPeer(kind: PeerReportKind, peer: Peer): void {
    const { report, loop } = this.#parts;
    const { publicKey, name, mtu } = peer;
    if (kind === "path-mtu") {
      report({ kind, publicKey, name, mtu });
      return;
    }
    const { address, port } = peer.endpoint;
    const otherPlace = kind === "key-shared" ? peer.sharedKey.otherPlace(loop.now()) : null;
    const endpoint = { address, port };
    report({ kind: "peer", event: kind, publicKey, name, endpoint, otherPlace });
  }

  #tellDrops(now: number): void {
    const lines = this.#dropLog.takeLines(now);
    if (lines.length === 0) return;
    for (const line of lines) this.log("info", line);
    // The causes go with the lines about drops, and are throttled with them.
    const sendError = this.#sendErrors.takeNew();
    if (sendError !== null) this.log("warning", `cannot send to a peer: ${sendError}`);
    const refused = this.#parts.egresses.sendErrors();
    const counts = JSON.stringify(refused);
    if (counts === this.#egressErrorsTold) return;
    this.#egressErrorsTold = counts;
    this.log("warning", refusedLine(refused));
  }
}

/** The line about packets that the kernel has refused to send outside, by the name of the error. */
export function refusedLine(counts: Readonly<Record<string, number>>): string {
  const named = Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(", ");
  return `the kernel refused to send packets to the internet: ${named}`;
}

function countsOf({ publicKey, receivedBytes, sentBytes }: Peer): PeerCounts {
  return { publicKey, receivedBytes, sentBytes };
}
