/**
 * Owns a program for network tests: `vpn server`, `client` or `relay` with a fault, by the arguments `FAULT ROLE ARGS`. The
 * product itself has no such switch: what fails is replaced from here. The fault is one of these:
 *
 * - a number: right after the journal's entry of this number, counted from 1, the change that it notes fails
 * - `exception`, `rejection`: a listener that no guard knows of fails some time after the start
 * - `thread-throw`, `thread-end`, `thread-hang`: the thread that moves packets has an error, ends without a word, or hangs
 */
import { errorLine, exitCodeOf } from "../../../lib/app/errors.ts";
import type { HostChange } from "../../../lib/app/host_change.ts";
import { Journal } from "../../../lib/app/journal.ts";
import { runClient } from "../../../lib/app/client.ts";
import { runRelay } from "../../../lib/app/relay/relay.ts";
import { runServer } from "../../../lib/app/server.ts";
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";

/** ms after which a listener fails: everything stands by then, or is being set up on a busy machine, which has to do as well. */
const LISTENER_FAULT = 1_500;
/** How many times faster intervals pass, for tests not to wait half a minute until a thread counts as silent. */
const HASTE = 10;

function arrange(fault: string): void {
  if (/^\d+$/.test(fault)) failAfter(Number(fault));
  else if (fault === "exception") {
    setTimeout(() => {
      throw new TypeError("fault of a listener");
    }, LISTENER_FAULT);
  } else if (fault === "rejection") {
    setTimeout(() => void Promise.reject(new TypeError("fault of a listener")), LISTENER_FAULT);
  } else breakThread(fault.replace("thread-", ""));
}

/** Makes the journal's entry of this number the last one: it is made, and then all goes wrong. */
function failAfter(entry: number): void {
  const make = Journal.prototype.make;
  let entries = 0;
  Journal.prototype.make = function (this: Journal, change: HostChange, ...rest: []): void {
    make.apply(this, [change, ...rest] as never);
    entries++;
    if (entries === entry) throw new Error(`fault after entry ${entry}: ${JSON.stringify(change)}`);
  };
}

/** Puts the thread with the fault in the place of the real one. */
function breakThread(fault: string): void {
  const interval = globalThis.setInterval;
  globalThis.setInterval =
    ((handler: () => void, ms: number) => interval(handler, ms / HASTE)) as typeof setInterval;
  const RealWorker = globalThis.Worker;
  globalThis.Worker = class extends RealWorker {
    constructor(entry: string | URL, options?: WorkerOptions) {
      const url = new URL("./faulty_thread.ts", import.meta.url);
      url.searchParams.set("entry", `${entry}`);
      url.searchParams.set("fault", fault);
      super(url, options);
    }
  };
}

async function main([fault = "", ...args]: readonly string[]): Promise<number> {
  arrange(fault);
  const command = parseArguments(args, { colour: false, width: 100, version: "faulty" });
  try {
    if (command.command === "server") return await runServer(command.options);
    if (command.command === "client") return await runClient(command.options);
    if (command.command === "relay") return await runRelay(command.options);
    throw new Error("Cannot run anything but a server, a client or a relay");
  } catch (error) {
    await Deno.stderr.write(new TextEncoder().encode(`${errorLine(error)}\n`));
    return exitCodeOf(error);
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
