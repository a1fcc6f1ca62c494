/**
 * A program that opens and closes TCP connections at a rate: `connector.ts ADDRESS PER-SECOND SECONDS`; prints what
 * came of it.
 */
import { writeText } from "../../lib/process/output.ts";

const PORT = 80;
/** ms between two bursts. */
const INTERVAL = 10;
/** Connections under way at once: a slow machine lowers the rate, and is no failure. */
const MAX_PENDING = 500;
/** ms that the last connections have; those still under way then count as failed. */
const PATIENCE = 15_000;

async function main([address = "", perSecond = "", seconds = ""]: readonly string[]) {
  const wanted = Number(perSecond) * Number(seconds);
  const burst = Number(perSecond) * INTERVAL / 1000;
  let [begun, opened, failed, pending] = [0, 0, 0, 0];
  const one = async () => {
    pending++;
    try {
      const connection = await Deno.connect({ hostname: address, port: PORT });
      opened++;
      connection.close();
    } catch {
      failed++;
    } finally {
      pending--;
    }
  };
  const end = Date.now() + Number(seconds) * 2_000;
  while (begun < wanted && Date.now() < end) {
    for (let i = 0; i < burst && pending < MAX_PENDING && begun < wanted; i++, begun++) void one();
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
  const deadline = Date.now() + PATIENCE;
  while (pending > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
  writeText(Deno.stdout, JSON.stringify({ opened, failed: failed + pending }));
  Deno.exit(0);
}

if (import.meta.main) await main(Deno.args);
