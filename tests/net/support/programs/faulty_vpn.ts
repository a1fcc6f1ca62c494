/**
 * Program for network tests: `vpn server`, `client` or `relay` with a fault, by the arguments `FAULT ROLE ARGS`. The
 * product itself has no such switch: what fails is replaced from here. The fault is one of these:
 *
 * - a number: right after the journal's entry of this number, counted from 1, the change that it notes fails
 * - `exception`, `rejection`: a listener that no guard knows of fails some time after the start
 * - `no-ipv6`: the kernel is as with `ipv6.disable=1`: no rules, routes or addresses of that family, and no file that
 *   tells of it
 * - `thread-throw`, `thread-end`, `thread-hang`: the thread that moves packets has an error, ends without a word, or
 *   hangs
 */
import { EAFNOSUPPORT } from "../../../../ffi/errno.ts";
import { AF_INET6 } from "../../../../ffi/socket_constants.ts";
import { type MessageBuilder, NLMSGHDR } from "../../../../ffi/netlink/message.ts";
import { NetlinkError, NetlinkSocket } from "../../../../ffi/netlink/socket.ts";
import { errorLine, exitCodeOf } from "../../../../lib/process/errors.ts";
import type { HostChange } from "../../../../lib/host/journal/host_change.ts";
import { Journal } from "../../../../lib/host/journal/journal.ts";
import { runClient } from "../../../../lib/commands/client/client.ts";
import { runRelay } from "../../../../lib/commands/relay.ts";
import { runServer } from "../../../../lib/commands/server/server.ts";
import { parseArguments } from "../../../../lib/cli/parse_arguments.ts";

/**
 * ms after which a listener fails: everything stands by then, or is being set up on a busy machine, which has to do as
 * well.
 */
const LISTENER_FAULT = 1_500;
/** How many times faster intervals pass, for tests not to wait half a minute until a thread counts as silent. */
const HASTE = 10;

function arrange(fault: string): void {
  if (/^\d+$/.test(fault)) failAfter(Number(fault));
  else if (fault === "no-ipv6") withoutIpv6();
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

/** Answers for IPv6 as a kernel without it (net/core/rtnetlink.c, net/core/fib_rules.c). */
function withoutIpv6(): void {
  const RTM_GETRULE = 34;
  const { dump, request } = NetlinkSocket.prototype;
  const isIpv6 = (message: MessageBuilder) => message.finish(0, 0)[NLMSGHDR.size] === AF_INET6;
  NetlinkSocket.prototype.dump = function (message, action) {
    const bytes = message.finish(0, 0);
    if (NLMSGHDR.read(bytes, 0).type === RTM_GETRULE && isIpv6(message)) {
      throw new NetlinkError(action, EAFNOSUPPORT, "");
    }
    return dump.call(this, message, action);
  };
  NetlinkSocket.prototype.request = function (message, action) {
    if (isIpv6(message)) throw new NetlinkError(action, EAFNOSUPPORT, "");
    return request.call(this, message, action);
  };
  const { statSync } = Deno;
  Deno.statSync = (path) => {
    if (/\/if_inet6$|\/sys\/net\/ipv6/.test(`${path}`)) throw new Deno.errors.NotFound();
    return statSync(path);
  };
}

/** Puts the thread with the fault in the place of the real one. */
function breakThread(fault: string): void {
  const interval = globalThis.setInterval;
  let pace = 1;
  globalThis.setInterval = ((handler: () => void, ms: number) => {
    let ticks = 0;
    return interval(() => {
      if (++ticks % (HASTE / pace) === 0) handler();
    }, ms / HASTE);
  }) as typeof setInterval;
  const hasten = ({ data }: MessageEvent<{ kind: string }>) => {
    // Before it is ready, a thread may take its time.
    if (data.kind === "ready") pace = HASTE;
  };
  const RealWorker = globalThis.Worker;
  globalThis.Worker = class extends RealWorker {
    constructor(entry: string | URL, options?: WorkerOptions) {
      const url = new URL("./faulty_thread.ts", import.meta.url);
      url.searchParams.set("entry", `${entry}`);
      url.searchParams.set("fault", fault);
      super(url, options);
      // What says by itself that it has died must not be taken for silent because the machine is busy.
      if (fault !== "throw") this.addEventListener("message", hasten);
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
