/** Command `deno task bench:fetch`: brings the newest programs of others into the bench's cache. */
import { writeText } from "../../../lib/process/output.ts";
import { cacheFolder, fetchNewest, PACKAGE_NAMES } from "./newest.ts";

async function main(): Promise<number> {
  const folder = cacheFolder();
  const note = (text: string) => writeText(Deno.stderr, `${text}\n`);
  const outcomes = await fetchNewest(PACKAGE_NAMES, { folder, note });
  for (const [name, outcome] of outcomes) {
    const text = "reason" in outcome
      ? `skipped: ${outcome.reason}`
      : `${outcome.version}, which says ${outcome.says}: ${
        Object.values(outcome.commands)[0]!.join(" ")
      }`;
    writeText(Deno.stdout, `${name}: ${text}\n`);
  }
  return [...outcomes.values()].some((outcome) => "reason" in outcome) ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
