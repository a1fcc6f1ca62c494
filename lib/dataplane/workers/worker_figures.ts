/** What a worker has done so far. */
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
}
