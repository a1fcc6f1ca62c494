/** fast-check with the seed of the run: VPN_SEED, or another one each time, which a failing property names. */
import fc from "fast-check";
import { environment } from "./permissions.ts";

const seed = environment("VPN_SEED");
if (seed !== undefined) fc.configureGlobal({ seed: Number(seed) });

export default fc;
