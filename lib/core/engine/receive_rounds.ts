/**
 * Receive rounds: what has come to a port is received batch by batch, a bounded number of times in one turn of the
 * loop.
 */

/** Receives of one port in one turn of the loop. */
export const RECEIVE_ROUNDS = 4;

/** A port, as far as it is received from. */
export interface Receivable {
  /** The most that one `receive()` brings: less, and there is no more. */
  readonly batch: number;
  /** Takes what has arrived, up to a batch. Returns the count; 0 for none. */
  receive(): number;
}

/** Takes what a port brings. */
export interface Receiver<Port> {
  /** Called before the items of a batch of several are taken; left out, nothing is. */
  beginBatch?(port: Port, count: number): void;
  /** Takes item `index` of the batch. */
  take(port: Port, index: number, now: number): void;
  /**
   * Called after each batch, before its buffers are used again. Returns whether this turn may go on with another one.
   */
  endBatch(now: number): boolean;
}

export function receiveRounds<Port extends Receivable>(
  port: Port,
  receiver: Receiver<Port>,
  now: number,
  rounds: number = RECEIVE_ROUNDS,
): void {
  for (let round = 0; round < rounds; round++) {
    const count = port.receive();
    if (count === 0) return;
    if (count > 1) receiver.beginBatch?.(port, count);
    for (let i = 0; i < count; i++) receiver.take(port, i, now);
    if (!receiver.endBatch(now) || count < port.batch) return;
  }
}
