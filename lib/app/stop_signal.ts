/**
 * Owns the wait for a signal to stop: SIGINT, SIGTERM, or SIGHUP, which comes when the terminal is closed; and SIGUSR2, by which
 * a service manager says that the program is to be started again, or that the host shuts down.
 */

/** Numbers as in `/proc/PID/status` (signal(7)); the same on all machines that Deno runs on. */
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGUSR2: 12, SIGTERM: 15 } as const;
/** Ends a client, but not its kill switch: it is not a person who wants the host open. */
export const RESTART_SIGNAL = "SIGUSR2";

export interface StopSignal extends Disposable {
  /** Resolves with the first of the signals. Later ones are ignored: what is under way then is the undoing. */
  readonly received: Promise<Deno.Signal>;
}

/** Listens from now on, and until disposed of. A signal that was ignored before, as `nohup` does it, stays without effect. */
export function listenForStop(): StopSignal {
  const { promise, resolve } = Promise.withResolvers<Deno.Signal>();
  const ignored = ignoredSignals();
  const listeners = (Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]).map((signal) => {
    const isIgnored = (ignored >> BigInt(SIGNALS[signal] - 1) & 1n) === 1n;
    // Where nobody listens, Deno lets these end the process, ignored or not.
    return { signal, listener: isIgnored ? () => {} : () => resolve(signal) };
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
