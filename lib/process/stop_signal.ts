/**
 * Stop signal: waits for SIGINT or SIGTERM; SIGUSR2, by which a service manager says that the program is to be started
 * again, or that the host shuts down; and SIGHUP, unless it means something else to the program.
 *
 * What runs from a configuration reads that again on SIGHUP, as daemons do. The signal also comes when a terminal is
 * closed: it cannot be told apart, and a tunnel that ended then would open a host that its kill switch keeps closed. So
 * one that was started in a terminal outlives it, as under `nohup`; it logs to nowhere from then on.
 */

import { guarded } from "./guard.ts";

/** Numbers as in `/proc/PID/status` (signal(7)); the same on all machines that Deno runs on. */
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGUSR2: 12, SIGTERM: 15 } as const;
/** Ends a client, but not its kill switch: it is not a person who wants the host open. */
export const RESTART_SIGNAL = "SIGUSR2";

export interface StopSignal extends Disposable {
  /** Resolves with the first of the signals. Later ones are ignored: what is under way then is the undoing. */
  readonly received: Promise<Deno.Signal>;
}

/**
 * Listens from now on, and until disposed of. A signal that was ignored before, as `nohup` does it, stays without
 * effect.
 *
 * @param options `onHangup` is called for each SIGHUP, which then is no signal to stop
 */
export function listenForStop(
  { onHangup }: { readonly onHangup?: () => void } = {},
): StopSignal {
  const { promise, resolve } = Promise.withResolvers<Deno.Signal>();
  const ignored = ignoredSignals();
  const listeners = (Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]).map((signal) => {
    const isIgnored = (ignored >> BigInt(SIGNALS[signal] - 1) & 1n) === 1n;
    const onSignal = signal === "SIGHUP" && onHangup !== undefined
      ? guarded("control", "handling SIGHUP", onHangup)
      : () => resolve(signal);
    // Where nobody listens, Deno lets these end the process, ignored or not.
    return { signal, listener: isIgnored ? () => {} : onSignal };
  });
  for (const { signal, listener } of listeners) Deno.addSignalListener(signal, listener);
  return {
    received: promise,
    [Symbol.dispose]() {
      for (const { signal, listener } of listeners) Deno.removeSignalListener(signal, listener);
    },
  };
}

/** The set of signals that this process ignores: bit 0 is signal 1. */
function ignoredSignals(): bigint {
  const status = Deno.readTextFileSync("/proc/self/status");
  return BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
}
