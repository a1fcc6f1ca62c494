/**
 * First answer: asks servers one after the other, and waits only a moment for each before it asks the next as well.
 *
 * A host that is gone refuses nothing: what is sent to it is lost, and connecting to it takes its whole time limit.
 */
import { background } from "../../process/guard.ts";
import { limitedWait } from "./limited_wait.ts";

export interface FirstAnswerOptions<Connection> {
  /** ms for which the last one asked is waited for before the next is asked. */
  readonly pause: number;
  /** For those that answer after the first. */
  readonly close: (connection: Connection) => Promise<void>;
}

/**
 * Connects to the first that answers.
 *
 * @param servers each connects to one, or fails within its own time limit
 * @throws what the last of them failed with, where none answers
 */
export async function firstAnswer<Connection>(
  servers: readonly (() => Promise<Connection>)[],
  { pause, close }: FirstAnswerOptions<Connection>,
): Promise<Connection> {
  const asked: Promise<Connection>[] = [];
  let first: Connection | null = null;
  try {
    for (const ask of servers) {
      asked.push(ask());
      first = await limitedWait(pause, Promise.any(asked).catch(() => null));
      if (first !== null) return first;
    }
    return first = await Promise.any(asked);
  } catch (error) {
    throw error instanceof AggregateError ? error.errors.at(-1) : error;
  } finally {
    for (const each of asked) {
      const closed = each.then((late) => late === first ? undefined : close(late), () => {});
      background("control", "closing a connection that is not needed", closed);
    }
  }
}
