/** The seed of a run, from which its tests draw: VPN_SEED, or another one each time. */
export const SEED: number = Number(
  Deno.env.get("VPN_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0] >>> 1,
);
