/** Program for tests: adds peers to a gateway's file one after the other, by the arguments `FILE PREFIX COUNT`. */
import { addToFile } from "./file_place.ts";

async function main([configPath = "", prefix = "", count = ""]: readonly string[]): Promise<void> {
  for (let number = 1; number <= Number(count); number++) {
    await addToFile(configPath, { name: `${prefix}${number}` });
  }
}

if (import.meta.main) await main(Deno.args);
