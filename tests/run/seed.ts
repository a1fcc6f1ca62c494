/** The seed of a run, from which its tests draw: VPN_SEED, or another one each time. */
import { environment } from "../support/permissions.ts";

export const SEED: number = Number(
  environment("VPN_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0] >>> 1,
);
