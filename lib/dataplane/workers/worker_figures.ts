/** What a worker has done so far, as it tells the main thread. */
import type { Denials } from "../../core/access/access_items.ts";
import type { BackEndFigures } from "../../core/nat/services/services.ts";

export interface WorkerFigures {
  /** Messages and their bytes, of transport data. */
  readonly receivedMessages: number;
  readonly receivedBytes: number;
  readonly sentMessages: number;
  readonly sentBytes: number;
  /** Datagrams that the kernel dropped as the socket's buffer was full. */
  readonly overflow: number;
  readonly segmentation: boolean;
  /** Why the kernel refused to send, the last time; null where it never did. */
  readonly sendError: string | null;
  /** What access rules have cost peers here. */
  readonly denials: readonly Denials[];
  /** Null where nothing is translated. */
  readonly nat: NatFigures | null;
}

export interface NatFigures {
  readonly mappings: number;
  readonly sessions: number;
  /** Packets that the kernel refused to send outside, by the name of the error. */
  readonly sendErrors: Readonly<Record<string, number>>;
  /** Packets from outside that the kernel dropped as the socket's buffer was full. */
  readonly overflow: number;
  /** Of published services that have a choice, which one worker alone has. */
  readonly services: readonly BackEndFigures[];
}
