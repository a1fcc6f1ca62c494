/** Owns the wait for SIGINT or SIGTERM. */

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export interface StopSignal extends Disposable {
  /** Resolves with the first of the signals. Later ones are ignored: what is under way then is the undoing. */
  readonly received: Promise<Deno.Signal>;
}

/** Listens from now on, and until disposed of. */
export function listenForStop(): StopSignal {
  const { promise, resolve } = Promise.withResolvers<Deno.Signal>();
  const listeners = SIGNALS.map((signal) => ({ signal, listener: () => resolve(signal) }));
  for (const { signal, listener } of listeners) Deno.addSignalListener(signal, listener);
  return {
    received: promise,
    [Symbol.dispose]() {
      for (const { signal, listener } of listeners) Deno.removeSignalListener(signal, listener);
    },
  };
}
