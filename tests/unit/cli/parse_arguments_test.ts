/** Shows what each command line means, what it prints, and what is said of a wrong one. */
import type { Command } from "../../../lib/cli/command.ts";
import { COMMAND_NAMES } from "../../../lib/cli/grammar.ts";
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { UsageError } from "../../../lib/cli/usage_error.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
  fail,
} from "../../support/assert.ts";
import { emptyFile } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";

const COMMANDS = [
  "server",
  "client",
  "init",
  "peer",
  "relay",
  "status",
  "usage",
  "events",
  "queries",
  "flows",
  "capture",
  "log",
  "reload",
  "demo",
  "doctor",
  "block",
  "cleanup",
  "access",
  "console",
  "service",
  "fleet",
  "up",
  "down",
  "export",
  "import",
  "strip",
  "genkey",
  "pubkey",
  "genpsk",
];

function parse(...argv: string[]): Command {
  return parseArguments(argv, { colour: false, width: 100, version: "vpn 1.2.3 (abc)" });
}

/** What a command line prints. */
function textOf(...argv: string[]): string {
  const command = parse(...argv);
  return command.command === "show" ? command.text : fail(`${command.command} shows nothing`);
}

Deno.test("parseArguments() fills in the defaults when only --config is given", () => {
  for (const command of ["server", "client"] as const) {
    assertEquals(parse(command, "--config", "a.conf"), {
      command,
      options: {
        configPath: "a.conf",
        interfaceName: "vpn0",
        logLevel: "info",
        logFormat: "text",
        offload: true,
      },
    });
  }
});

Deno.test("parseArguments() reads every option of server and client, in both spellings", () => {
  const options = {
    configPath: "/etc/a b.conf",
    interfaceName: "tun-7",
    netns: "blue",
    logLevel: "trace",
    logFormat: "json",
    offload: false,
  } as const;
  const given = [
    ["--config", "/etc/a b.conf"],
    ["--interface", "tun-7"],
    ["--netns", "blue"],
    ["--log-level", "trace"],
    ["--log-format", "json"],
  ] as const;
  for (const command of ["server", "client"] as const) {
    assertEquals(parse(command, ...given.flat(), "--no-offload"), { command, options });
    const joined = given.map(([name, value]) => `${name}=${value}`);
    assertEquals(parse(command, "--no-offload", ...joined), { command, options });
  }
});

Deno.test("parseArguments() asks doctor about the host alone, unless a configuration is given", () => {
  const defaults = {
    configPath: null,
    otherConfigPath: null,
    role: null,
    interfaceName: "vpn0",
    json: false,
    logLevel: "info",
    logFormat: "text",
  } as const;
  assertEquals(parse("doctor"), { command: "doctor", options: defaults });
  const given = ["--config", "a.conf", "--other-config", "b.conf", "--role", "server", "--json"];
  assertEquals(parse("doctor", ...given, "--netns", "blue", "--interface", "vpn7"), {
    command: "doctor",
    options: {
      ...defaults,
      configPath: "a.conf",
      otherConfigPath: "b.conf",
      role: "server",
      json: true,
      netns: "blue",
      interfaceName: "vpn7",
    },
  });
});

Deno.test("parseArguments() reads the commands that take little or nothing", () => {
  assertEquals(parse("demo"), {
    command: "demo",
    options: { fleet: false, natsServer: undefined, logLevel: "info", logFormat: "text" },
  });
  const fleetDemo = ["demo", "--fleet", "--nats-server", "/opt/nats-server"];
  assertEquals(parse(...fleetDemo, "--log-level", "error", "--log-format", "json"), {
    command: "demo",
    options: {
      fleet: true,
      natsServer: "/opt/nats-server",
      logLevel: "error",
      logFormat: "json",
    },
  });
  for (const command of ["genkey", "pubkey", "genpsk"] as const) {
    assertEquals(parse(command), { command });
  }
  assertEquals(parse("strip", "vpn0"), { command: "strip", name: "vpn0" });
});

Deno.test("parseArguments() shows all instances once, for people, unless told otherwise", () => {
  const options = { interfaceName: null, json: false, watch: false };
  assertEquals(parse("status"), { command: "status", options });
  assertEquals(parse("status", "--interface", "vpn1", "--json", "--watch"), {
    command: "status",
    options: { interfaceName: "vpn1", json: true, watch: true },
  });
});

Deno.test("parseArguments() captures all packets of all peers to standard output, unless told otherwise", () => {
  const defaults = { interfaceName: "vpn0", peer: null, write: "-", snapLength: null };
  assertEquals(parse("capture"), { command: "capture", options: defaults });
  const given = ["--interface", "vpn1", "--peer", "laptop", "-w", "a.pcapng", "-s", "96"];
  const options = { interfaceName: "vpn1", peer: "laptop", write: "a.pcapng", snapLength: 96 };
  assertEquals(parse("capture", ...given), { command: "capture", options });
  assertEquals(parse("capture", "--write=a", "--snaplen=262144"), {
    command: "capture",
    options: { ...defaults, write: "a", snapLength: 262_144 },
  });
});

Deno.test("parseArguments() reads changes of log levels in their order", () => {
  const request = { interfaceName: "vpn0", changes: [] };
  assertEquals(parse("log"), { command: "log", request });
  assertEquals(parse("log", "all=warning", "--interface", "vpn1", "dataplane=trace"), {
    command: "log",
    request: {
      interfaceName: "vpn1",
      changes: [
        { category: "all", level: "warning" },
        { category: "dataplane", level: "trace" },
      ],
    },
  });
});

Deno.test("parseArguments() throws one line that says what to do when the arguments are wrong", () => {
  const config = ["--config", "a.conf"];
  const cases: [argv: string[], message: string][] = [
    [[], 'no command given: see "vpn --help"'],
    [["sevrer"], 'unknown command "sevrer": did you mean "server"?'],
    [["Client"], 'unknown command "Client": did you mean "client"?'],
    [["complet"], 'unknown command "complet": see "vpn --help"'],
    [["completoin"], 'unknown command "completoin": did you mean "completion"?'],
    [["statsu"], 'unknown command "statsu": did you mean "status"?'],
    [["status", "--wacth"], '"vpn status" has no option "--wacth": did you mean "--watch"?'],
    [["heal", "--json"], 'unknown command "heal": see "vpn --help"'],
    [[""], 'unknown command "": see "vpn --help"'],
    [["--hlep"], 'unknown option "--hlep": did you mean "--help"?'],
    [["-x"], 'unknown option "-x": see "vpn --help"'],
    [["--netns", "a", "server"], 'unknown option "--netns": see "vpn --help"'],
    [["server"], "--config FILE is missing: give the path of the configuration file"],
    [["server", "--config"], "--config needs a value"],
    [["server", ...config, ...config], "--config is given twice"],
    [["server", "--confg", "x"], '"vpn server" has no option "--confg": did you mean "--config"?'],
    [
      ["client", ...config, "--interfaec", "x"],
      '"vpn client" has no option "--interfaec": did you mean "--interface"?',
    ],
    [["client", ...config, "-q"], '"vpn client" has no option "-q": see "vpn client --help"'],
    [["doctor", "--role", "x"], '--role: cannot use "x": allowed are server and client'],
    [["access", "--json"], '"--json" comes after the action: see "vpn access --help"'],
    [["service", "--json"], '"--json" comes after the action: see "vpn service --help"'],
    [["doctor", "--jsn"], '"vpn doctor" has no option "--jsn": did you mean "--json"?'],
    [["demo", "--nats-server", "x"], "--nats-server is for a fleet: give --fleet as well"],
    [["demo", "--config", "x"], '"vpn demo" has no option "--config": see "vpn demo --help"'],
    [["server", "a.conf"], '"vpn server" takes no argument "a.conf"'],
    [["server", "status"], '"vpn server" takes no argument "status"'],
    [["server", ...config, "extra"], '"vpn server" takes no argument "extra"'],
    [["genkey", "extra"], '"vpn genkey" takes no argument "extra"'],
    [["server", ...config, "--no-offload=1"], "--no-offload takes no value"],
    [
      ["server", ...config, "--log-level", "loud"],
      '--log-level: cannot use "loud": allowed are trace, debug, info, warning and error',
    ],
    [
      ["server", ...config, "--log-format", "xml"],
      '--log-format: cannot use "xml": allowed are text and json',
    ],
    [
      ["server", ...config, "--interface", "sixteen-letters-"],
      '--interface: cannot use "sixteen-letters-": an interface name has 1 to 15 letters, digits or characters of _ = + . -',
    ],
    [
      ["server", ...config, "--interface", "a/b"],
      '--interface: cannot use "a/b": an interface name has 1 to 15 letters, digits or characters of _ = + . -',
    ],
    [
      ["server", ...config, "--netns", "../x"],
      '--netns: cannot use "../x": the name of a network namespace cannot contain "/"',
    ],
    [["capture", "--per", "x"], '"vpn capture" has no option "--per": did you mean "--peer"?'],
    [["capture", "laptop"], '"vpn capture" takes no argument "laptop"'],
    [["capture", "-s", "0"], '--snaplen: cannot use "0": the value must be 1 to 262144'],
    [["log", "dns"], 'cannot use "dns": the form is CATEGORY=LEVEL, for example dataplane=debug'],
    [
      ["log", "nat=debug"],
      'cannot use "nat": allowed are server, client, relay, dataplane, control, dns, hooks, journal, cleanup, upkeep, console and all',
    ],
    [
      ["log", "dns=loud"],
      'cannot use "loud": allowed are trace, debug, info, warning and error',
    ],
    [["completion"], "Missing shell name for completion"],
  ];
  for (const [argv, message] of cases) {
    const error = assertThrows(() => parse(...argv), UsageError);
    assertEquals(error.message, message, argv.join(" "));
  }
});

Deno.test("parseArguments() throws one line when the shell or the command asked about is unknown", () => {
  for (const argv of [["completion", "tcsh"], ["help", "heal"]]) {
    const { message } = assertThrows(() => parse(...argv), UsageError);
    assertStringIncludes(message, argv[1]!);
    assertMatch(message, /^[^\n]+$/);
  }
});

Deno.test("parseArguments() shows each command when help is asked for", () => {
  const help = textOf("--help");
  for (const argv of [["-h"], ["help"]]) assertEquals(textOf(...argv), help);
  const names = [...COMMANDS, "help", "version", "completion"];
  assertEquals(Array.from(help.matchAll(/^ {2}([a-z]+) +[A-Z]/gm), ([, name]) => name), names);
  assertEquals(COMMAND_NAMES, names, "one is made alone, and not among all");
  assert(help.split("\n").every((line) => line.length <= 100));
  assert(help.endsWith("\n") && !help.includes("\x1b"));
});

Deno.test("parseArguments() shows each option when a command's help is asked for", () => {
  const options = {
    server: ["--config", "--interface", "--netns", "--no-offload", "--log-level", "--log-format"],
    client: ["--config", "--interface", "--netns", "--no-offload", "--log-level", "--log-format"],
    status: ["--interface", "--json", "--watch"],
    log: ["--interface"],
    demo: ["--fleet", "--nats-server", "--log-level", "--log-format"],
    genkey: [],
    pubkey: [],
    genpsk: [],
  };
  for (const [command, names] of Object.entries(options)) {
    const help = textOf(command, "--help");
    assertEquals(textOf("help", command), help);
    assertStringIncludes(help, `Usage: vpn ${command}`);
    for (const name of names) assertMatch(help, new RegExp(`^  ${name}\\b`, "m"));
    assertEquals(help.match(/^ {2}--/gm)?.length ?? 0, names.length, command);
  }
  // Another command behind it changes nothing.
  assertEquals(textOf("server", "status", "--help"), textOf("server", "--help"));
});

Deno.test("parseArguments() reads which tunnel is to go up or down, and how it logs", () => {
  const request = {
    name: "laptop",
    foreground: false,
    logLevel: "info",
    logFormat: "text",
  } as const;
  assertEquals(parse("up", "laptop"), { command: "up", request });
  assertEquals(parse("up", "--foreground", "./a b.conf", "--log-format", "json"), {
    command: "up",
    request: { ...request, name: "./a b.conf", foreground: true, logFormat: "json" },
  });
  assertEquals(parse("down", "laptop"), { command: "down", name: "laptop" });
  assertThrows(() => parse("up"), UsageError, "NAME is missing");
  assertThrows(() => parse("down", "a", "b"), UsageError);
});

Deno.test("parseArguments() reads which tunnel vpn reload is about, by its name or the option", () => {
  const reload = (interfaceName: string | null) => ({
    command: "reload" as const,
    request: { interfaceName },
  });
  assertEquals(parse("reload"), reload(null));
  assertEquals(parse("reload", "laptop"), reload("laptop"));
  assertEquals(parse("reload", "./laptop.conf"), reload("laptop"));
  assertEquals(parse("reload", "/etc/vpn/home.conf"), reload("home"));
  assertThrows(() => parse("reload", "./my laptop.conf"), UsageError, "an interface name has");
  assertEquals(parse("reload", "--interface", "laptop"), reload("laptop"));
  assertThrows(() => parse("reload", "a", "--interface", "b"), UsageError, "NAME and --interface");
});

Deno.test("parseArguments() colours help when colour is asked for", () => {
  const command = parseArguments(["--help"], { colour: true, width: 80, version: "v" });
  assertStringIncludes(command.command === "show" ? command.text : "", "\x1b[");
});

Deno.test("parseArguments() shows the version when asked by option or command", () => {
  assertEquals(textOf("--version"), "vpn 1.2.3 (abc)\n");
  assertEquals(textOf("version"), "vpn 1.2.3 (abc)\n");
});

Deno.test("parseArguments() suggests commands, options and values when a shell asks", () => {
  const suggestions = (...words: string[]) => textOf("completion", "bash", ...words).split("\n");
  assertEquals(suggestions(""), [...COMMANDS, "-h", "--help", "--version"]);
  assertEquals(suggestions("gen"), ["genkey", "genpsk"]);
  assertEquals(suggestions("log", "da"), ["dataplane="]);
  assertEquals(suggestions("log", "dns=t"), ["dns=trace"]);
  assertEquals(suggestions("client", "--log"), ["--log-level", "--log-format"]);
  assertEquals(suggestions("client", "--log-format", ""), ["text", "json"]);
  assertStringIncludes(suggestions("client", "--config", "et").join(), "__FILE__:file");
});

Deno.test("parseArguments() suggests names that the host knows, where names of their kind may stand", () => {
  const names = {
    interface: ["vpn0", "vpn1", "wan"],
    netns: ["blue"],
    peer: ["laptop", "Living room"],
  };
  const suggestions = (...words: string[]) => {
    const argv = ["completion", "bash", ...words];
    const command = parseArguments(argv, { colour: false, width: 80, version: "vpn 1", names });
    return (command.command === "show" ? command.text : "").split("\n");
  };
  assertEquals(suggestions("status", "--interface", "vpn"), ["vpn0", "vpn1"]);
  assertEquals(suggestions("status", "--interface=w"), ["--interface=wan"]);
  assertEquals(suggestions("client", "--netns", ""), ["blue"]);
  assertEquals(suggestions("capture", "--peer", "L"), ["Living room"]);
  assertEquals(suggestions("peer", "remove", "l"), ["laptop"]);
  assertEquals(suggestions("peer", "add", "l"), [""]);
  assertEquals(textOf("completion", "bash", "status", "--interface", ""), "");
});

Deno.test("parseArguments() gives zsh a line for each suggestion, as its script reads them", () => {
  const lines = textOf("completion", "zsh", "peer", "").split("\n").slice(0, -1);
  assertEquals(lines.slice(0, 4).map((line) => line.split("\0")[0]), [
    "add",
    "list",
    "show",
    "remove",
  ]);
  for (const line of lines) assertEquals(line.split("\0").length, 3);
});

for (const shell of ["bash", "zsh", "fish"] as const) {
  hostTest(
    `parseArguments() shows a script that ${shell} takes when completion is asked for`,
    async () => {
      const script = textOf("completion", shell);
      assertStringIncludes(script, `vpn 'completion' '${shell}'`);
      if (!await hasProgram(shell)) {
        // deno-lint-ignore no-console -- a test that checks less than it could says so
        console.log(`skipped "${shell} -n": ${shell} is not installed`);
        return;
      }
      const file = emptyFile();
      await Deno.writeTextFile(file, script);
      const { success, stderr } = await new Deno.Command(shell, { args: ["-n", file] }).output();
      assert(success, new TextDecoder().decode(stderr));
    },
  );
}

async function hasProgram(name: string): Promise<boolean> {
  const { success } = await new Deno.Command("sh", { args: ["-c", `command -v ${name}`] }).output();
  return success;
}
