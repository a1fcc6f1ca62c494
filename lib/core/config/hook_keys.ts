/**
 * Hook keys: the keys that commands of a configuration would set, so that they need not run (`wg set ... private-key`).
 */
import type { HookCommand } from "./config.ts";

/** Which keys are asked for. */
export interface WantedKeys {
  /** Whether the file has no `PrivateKey`. */
  readonly privateKey: boolean;
  /** Whether the file has this peer. */
  readonly isPeer: (publicKey: string) => boolean;
}

/** Keys that commands would set. */
export interface HookKeys {
  /** 32 bytes; null where no command sets it, or it is not wanted. */
  readonly privateKey: Uint8Array | null;
  /** By the public key of the peer, as text; null for none. */
  readonly presharedKeys: ReadonlyMap<string, Uint8Array | null>;
  /** The commands that need not run any more. */
  readonly done: readonly HookCommand[];
}
