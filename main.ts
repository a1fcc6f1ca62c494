/**
 * Entry of the program: from the command line to a command, and from its result to the exit code; it alone exits.
 *
 * What a command needs is imported when it is called for, so that `vpn genkey` does not load the data plane.
 */
import { errorLine, ExitCode, exitCodeOf } from "./lib/process/errors.ts";
import { takesColour, writeText } from "./lib/process/output.ts";
import { versionText } from "./lib/process/version_text.ts";
import { workersGone } from "./lib/process/worker_end.ts";
import type { Command } from "./lib/cli/command.ts";
import type { KnownNames } from "./lib/cli/completion.ts";
import { parseArguments } from "./lib/cli/parse_arguments.ts";

async function run(command: Command): Promise<number> {
  switch (command.command) {
    case "server": {
      const { runServer } = await import("./lib/commands/server/server.ts");
      return await runServer(command.options);
    }
    case "client": {
      const { runClient } = await import("./lib/commands/client/client.ts");
      return await runClient(command.options);
    }
    case "init": {
      const { runInit } = await import("./lib/commands/init.ts");
      return runInit(command.request);
    }
    case "peer": {
      const { runPeer } = await import("./lib/commands/peer/peer.ts");
      return await runPeer(command.request);
    }
    case "relay": {
      const { runRelay } = await import("./lib/commands/relay.ts");
      return await runRelay(command.options);
    }
    case "status": {
      const { runStatus } = await import("./lib/commands/status/status.ts");
      return await runStatus(command.options);
    }
    case "capture": {
      const { runCapture } = await import("./lib/commands/capture.ts");
      return await runCapture(command.options);
    }
    case "log": {
      const { runLog } = await import("./lib/commands/log.ts");
      return await runLog(command.request);
    }
    case "up": {
      const { runUp } = await import("./lib/commands/up/up.ts");
      return await runUp(command.request);
    }
    case "down": {
      const { runDown } = await import("./lib/commands/up/up.ts");
      return await runDown(command.name);
    }
    case "reload": {
      const { runReload } = await import("./lib/commands/reload_request.ts");
      return await runReload(command.request);
    }
    case "access": {
      const { runAccess } = await import("./lib/commands/access.ts");
      return await runAccess(command.request);
    }
    case "console": {
      const { runConsole } = await import("./lib/commands/console.ts");
      return await runConsole(command.request);
    }
    case "service": {
      const { runService } = await import("./lib/commands/service.ts");
      return await runService(command.request);
    }
    case "fleet": {
      const { runFleet } = await import("./lib/commands/fleet/fleet.ts");
      return await runFleet(command.request);
    }
    case "usage": {
      const { runUsage } = await import("./lib/commands/kept/usage.ts");
      return await runUsage(command.request);
    }
    case "events": {
      const { runEvents } = await import("./lib/commands/kept/events.ts");
      return await runEvents(command.request);
    }
    case "flows": {
      const { runFlows } = await import("./lib/commands/kept/flows.ts");
      return await runFlows(command.request);
    }
    case "queries": {
      const { runQueries } = await import("./lib/commands/kept/queries.ts");
      return await runQueries(command.request);
    }
    case "demo": {
      const { runDemo } = await import("./lib/commands/demo/demo.ts");
      return await runDemo(command.options);
    }
    case "block": {
      const { runBlock } = await import("./lib/commands/block.ts");
      return runBlock(command.options);
    }
    case "genkey":
    case "pubkey":
    case "genpsk": {
      const { runKeyCommand } = await import("./lib/commands/keys.ts");
      return await runKeyCommand(command.command);
    }
    case "doctor": {
      const { runDoctor } = await import("./lib/commands/doctor/doctor.ts");
      return await runDoctor(command.options);
    }
    case "strip": {
      const { runStrip } = await import("./lib/commands/strip.ts");
      return runStrip(command.name);
    }
    case "export":
    case "import": {
      const { runExport, runImport } = await import("./lib/commands/backup.ts");
      return command.command === "export"
        ? await runExport(command.request)
        : await runImport(command.request);
    }
    case "cleanup": {
      const { runCleanup } = await import("./lib/commands/cleanup.ts");
      const { removeLeftovers } = await import("./lib/commands/demo/traces.ts");
      return runCleanup(command.options, removeLeftovers);
    }
    case "show":
      writeText(Deno.stdout, command.text);
      return ExitCode.ok;
  }
}

/** Columns of the terminal that help is shown on; elsewhere a width that reads well. */
function helpWidth(): number {
  return Deno.stdout.isTerminal() ? Math.min(Deno.consoleSize().columns, 120) : 100;
}

/** The names that a shell which completes a command line may offer. */
async function namesFor([command, shell, ...words]: readonly string[]): Promise<KnownNames> {
  // With one word, what is asked for is the shell's script.
  if (command !== "completion" || shell === undefined || words.length === 0) return {};
  const { knownNames } = await import("./lib/commands/known_names.ts");
  return await knownNames(words);
}

async function main(argv: readonly string[]): Promise<number> {
  let debug = false;
  try {
    const command = parseArguments(argv, {
      colour: takesColour(Deno.stdout),
      width: helpWidth(),
      version: versionText(new URL(".", import.meta.url)),
      names: await namesFor(argv),
    });
    debug = "options" in command && "logLevel" in command.options &&
      ["debug", "trace"].includes(command.options.logLevel);
    return await run(command);
  } catch (error) {
    writeText(Deno.stderr, `${errorLine(error)}\n`);
    if (debug && error instanceof Error) writeText(Deno.stderr, `${error.stack}\n`);
    return exitCodeOf(error);
  }
}

if (import.meta.main) {
  const exitCode = await main(Deno.args);
  await workersGone();
  Deno.exit(exitCode);
}
