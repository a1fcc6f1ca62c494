/**
 * Guard of asynchronous entries: what the event loop calls (listeners, timers, messages of threads, signals), and what
 * nobody awaits, runs through here, so that its errors are logged (throttled) and counted, and end nothing.
 *
 * Without it, an exception in a listener, or a rejection that nobody takes, ends the process: one who finds one
 * datagram that makes a listener throw has switched the tunnel off. tests/rules/guard_rule_test.ts holds the sources to
 * it.
 */
import type { LogCategory } from "../cli/command.ts";
import { FaultLog } from "./fault_log.ts";
import { getLogger } from "./logging.ts";

/** One for the process, as its log is. */
const faults = new FaultLog();

/**
 * The handler, with its errors taken care of, those of what it awaits included.
 *
 * @param entry what it does, for the log: "answering a DNS query"
 */
export function guarded<Arguments extends unknown[]>(
  category: LogCategory,
  entry: string,
  handler: (...args: Arguments) => unknown,
): (...args: Arguments) => void {
  return (...args) => {
    try {
      const result = handler(...args);
      if (result instanceof Promise) background(category, entry, result);
    } catch (error) {
      takeFault(category, entry, error);
    }
  };
}

/** Lets work go on that nobody awaits. */
export function background(category: LogCategory, entry: string, work: Promise<unknown>): void {
  work.catch((error) => takeFault(category, entry, error));
}

/** How many errors each entry has had since the start; entries without any are left out. */
export function faultCounts(): Readonly<Record<string, number>> {
  return faults.counts();
}

function takeFault(category: LogCategory, entry: string, error: unknown): void {
  const suppressed = faults.add(entry, performance.now());
  if (suppressed < 0) return;
  const logger = getLogger(category);
  logger.error("error while {entry}, everything else continues: {error}{more}", {
    entry,
    error,
    more: suppressed === 0 ? "" : ` (${suppressed} more since the last line)`,
  });
  if (error instanceof Error) logger.debug("{stack}", { stack: error.stack });
}
