/**
 * A program that opens TCP connections and holds them: `holder.ts ADDRESS PORT COUNT`; says how many were accepted, and
 * waits.
 */
import { writeText } from "../../lib/process/output.ts";

/** Connections that are being opened at one time. */
const AT_ONCE = 100;
const HOLD_MS = 120_000;

async function main([hostname = "", port = "", count = ""]: readonly string[]) {
  const held: Deno.TcpConn[] = [];
  for (let begun = 0; begun < Number(count); begun += AT_ONCE) {
    const opened = await Promise.allSettled(
      Array.from({ length: AT_ONCE }, () => Deno.connect({ hostname, port: Number(port) })),
    );
    for (const each of opened) if (each.status === "fulfilled") held.push(each.value);
  }
  writeText(Deno.stdout, `opened ${held.length}\n`);
  await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
}

if (import.meta.main) await main(Deno.args);
