/** Thread report: what every thread of ours says of itself, by `postMessage`. */
export type ThreadReport =
  /** It was asked whether it runs. */
  | { readonly kind: "alive" }
  | { readonly kind: "stopped" }
  /** It cannot go on. `errno` is 0 when no system call failed. */
  | { readonly kind: "failed"; readonly message: string; readonly errno: number };
