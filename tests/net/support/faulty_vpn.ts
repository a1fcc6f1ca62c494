/**
 * Owns a program for network tests: `vpn server` or `vpn client` that fails right after a change to the host was made,
 * by the arguments `ENTRY server|client ARGS`. The product itself has no such switch: the journal is given it from here.
 */
import { errorLine, exitCodeOf } from "../../../lib/app/errors.ts";
import { Journal } from "../../../lib/app/journal.ts";
import { runClient } from "../../../lib/app/client.ts";
import { runServer } from "../../../lib/app/server.ts";
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";

/** Makes the journal's entry of this number, counted from 1, the last one: it is made, and then all goes wrong. */
function failAfter(entry: number): void {
  const make = Journal.prototype.make;
  let entries = 0;
  Journal.prototype.make = function (change): void {
    make.call(this, change);
    entries++;
    if (entries === entry) throw new Error(`fault after entry ${entry}: ${JSON.stringify(change)}`);
  };
}

async function main([entry = "", ...args]: readonly string[]): Promise<number> {
  failAfter(Number(entry));
  const command = parseArguments(args, { colour: false, width: 100, version: "faulty" });
  try {
    if (command.command === "server") return await runServer(command.options);
    if (command.command === "client") return await runClient(command.options);
    throw new Error("Cannot run anything but a server or a client");
  } catch (error) {
    await Deno.stderr.write(new TextEncoder().encode(`${errorLine(error)}\n`));
    return exitCodeOf(error);
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
