/** Arguments: turns those of the process into a `Command`. Nothing here prints or exits. */
import { runParserSync } from "@optique/core/facade";
import { formatMessage, message } from "@optique/core/message";
import type { Endpoint } from "../core/config/config.ts";
import { ENDPOINTS_RULE, MAX_ENDPOINTS } from "../core/config/values/addresses.ts";
import { deviceOfFile } from "../core/config/values/console_values.ts";
import type { Expiry } from "../core/config/values/expiry.ts";
import { FULL_TUNNEL } from "../core/config/text/config_writer.ts";
import type {
  ClientFileWishes,
  Command,
  ConsoleRequest,
  PeerAddition,
  PeerRotation,
  PeerView,
  RelayOptions,
  RunOptions,
} from "./command.ts";
import { type KnownNames, shellsWith } from "./completion.ts";
import { actionLeftOut, createGrammar } from "./grammar.ts";
import { DEFAULT_CONFIG_PATH } from "./peer_grammar.ts";
import { UsageError } from "./usage_error.ts";

/** How help is laid out, and what `--version` shows. */
export interface Presentation {
  readonly colour: boolean;
  /** Columns. */
  readonly width: number;
  readonly version: string;
  /** Names that may be completed, where a shell asks; left out: none. */
  readonly names?: KnownNames;
}

/**
 * Parses the arguments behind the program's name.
 *
 * @throws {UsageError}
 */
export function parseArguments(argv: readonly string[], presentation: Presentation): Command {
  const output: string[] = [];
  let text: string | undefined;
  const showLines = () => {
    text = `${output.join("\n")}\n`;
  };
  const parsed = runParserSync(createGrammar(argv), "vpn", argv, {
    brief: message`A WireGuard-compatible VPN in user space`,
    help: { command: true, option: { names: ["-h", "--help"] }, onShow: showLines },
    version: { command: true, option: true, value: presentation.version, onShow: showLines },
    completion: {
      command: true,
      shells: shellsWith(presentation.names ?? {}),
      // Suggestions come in pieces that the shell's script expects without anything between.
      onShow: () => {
        text = output.join("");
      },
    },
    footer: message`Use "vpn COMMAND --help" for more information about a command.`,
    usageLine: [{ type: "command", name: "COMMAND" }, { type: "ellipsis" }],
    colors: presentation.colour,
    maxWidth: presentation.width,
    termWidth: "auto",
    showDefault: true,
    aboveError: "none",
    stdout: (piece) => output.push(piece),
    stderr: () => {},
    onError: (_exitCode, error) => {
      const text = oneLine(formatMessage(error, { colors: false, quotes: true }));
      throw new UsageError(actionLeftOut(argv) ?? text);
    },
  });
  if (text !== undefined) return { command: "show", text };
  switch (parsed.command) {
    case "server":
    case "client": {
      const { netns, noOffload, ...rest } = parsed.run;
      const options: RunOptions = {
        ...rest,
        ...(netns === undefined ? {} : { netns }),
        offload: !noOffload,
      };
      return { command: parsed.command, options };
    }
    case "doctor": {
      const { netns, configPath = null, otherConfigPath = null, role = null, ...rest } =
        parsed.doctor;
      const options = {
        ...rest,
        configPath,
        otherConfigPath,
        role,
        ...(netns === undefined ? {} : { netns }),
      };
      return { command: "doctor", options };
    }
    case "relay": {
      const { netns, noOffload, ...rest } = parsed.relay;
      const options: RelayOptions = {
        ...rest,
        ...(netns === undefined ? {} : { netns }),
        offload: !noOffload,
      };
      refuseLikeEnds(options);
      return { command: "relay", options };
    }
    case "status": {
      const { interfaceName = null, ...rest } = parsed.status;
      return { command: "status", options: { ...rest, interfaceName } };
    }
    case "events":
    case "queries":
    case "flows": {
      const { netns, peer = null, since = null, ...rest } = parsed.request;
      const place = netns === undefined ? {} : { netns };
      return { command: parsed.command, request: { ...rest, ...place, peer, since } };
    }
    case "access": {
      const { port = null, configPath = null, interfaceName = null, ...rest } = parsed.request;
      return { command: "access", request: { ...rest, port, configPath, interfaceName } };
    }
    case "fleet":
      return { command: "fleet", request: parsed.request };
    case "console":
      return { command: "console", request: consoleRequest(parsed.request) };
    case "service": {
      const { interfaceName = null, ...rest } = parsed.request;
      const request = rest.action === "list"
        ? { ...rest, interfaceName }
        : { ...rest, interfaceName, service: rest.service ?? null };
      return { command: "service", request };
    }
    case "usage": {
      const { netns, peer = null, ...rest } = parsed.request;
      const place = netns === undefined ? {} : { netns };
      return { command: "usage", request: { ...rest, ...place, peer } };
    }
    case "capture": {
      const { peer = null, snapLength = null, ...rest } = parsed.capture;
      return { command: "capture", options: { ...rest, peer, snapLength } };
    }
    case "log":
      return { command: "log", request: parsed.log };
    case "reload": {
      const { name, interfaceName } = parsed.request;
      if (name !== undefined && interfaceName !== undefined) {
        throw new UsageError("NAME and --interface mean the same: give only one of them");
      }
      return { command: "reload", request: { interfaceName: name ?? interfaceName ?? null } };
    }
    case "block": {
      const { netns, ...rest } = parsed.block;
      return {
        command: "block",
        options: { ...rest, ...(netns === undefined ? {} : { netns }) },
      };
    }
    case "cleanup":
      return { command: "cleanup", options: parsed.cleanup };
    case "demo":
      if (parsed.demo.natsServer !== undefined && !parsed.demo.fleet) {
        throw new UsageError("--nats-server is for a fleet: give --fleet as well");
      }
      return { command: "demo", options: parsed.demo };
    case "peer": {
      const { interfaceName, ...request } = parsed.request;
      if (interfaceName !== undefined && request.configPath !== DEFAULT_CONFIG_PATH) {
        throw new UsageError("--config and --interface exclude each other: give only one of them");
      }
      const place = interfaceName === undefined ? {} : { interfaceName };
      switch (request.action) {
        case "add":
          return { command: "peer", request: { ...addition(request), ...place } };
        case "rotate":
          return { command: "peer", request: { ...rotation(request), ...place } };
        case "list": {
          const { group = null } = request;
          return { command: "peer", request: { ...request, ...place, group } };
        }
        case "show":
          return { command: "peer", request: { ...view(request), ...place } };
        default:
          return { command: "peer", request: { ...request, ...place } };
      }
    }
    default:
      return parsed;
  }
}

function refuseLikeEnds({ listen, connect }: RelayOptions): void {
  if (listen.scheme !== connect.scheme) return;
  throw new UsageError(
    `--listen and --connect are both ${listen.scheme}: one must be udp://, the other faketcp://`,
  );
}

/** What `vpn console` is to serve. */
function consoleRequest(
  { configPath, interfaceName, origin, certPath, keyPath, socketPath, statePath, ...rest }:
    & Omit<ConsoleRequest, "interfaceName" | "origin" | "tls" | "socketPath" | "statePath">
    & {
      readonly configPath: string | undefined;
      readonly interfaceName: string | undefined;
      readonly origin: string | undefined;
      readonly certPath: string | undefined;
      readonly keyPath: string | undefined;
      readonly socketPath: string | undefined;
      readonly statePath: string | undefined;
    },
): ConsoleRequest {
  if ((certPath === undefined) !== (keyPath === undefined)) {
    throw new UsageError("--cert and --key belong together: give both, or neither");
  }
  return {
    ...rest,
    interfaceName: interfaceName ?? deviceOfFile(configPath ?? ""),
    origin: origin ?? null,
    tls: certPath === undefined || keyPath === undefined ? null : { certPath, keyPath },
    socketPath: socketPath ?? null,
    statePath: statePath ?? null,
  };
}

/** What of a client's file was given, and what was not. */
interface GivenWishes {
  readonly out: string | undefined;
  readonly endpoints: readonly Endpoint[];
  readonly fullTunnel: boolean;
  readonly allowedIps: string | undefined;
  readonly dns: string | undefined;
}

/** What `vpn peer add` is asked for, without what was left out. */
function addition(
  { action, name, configPath, expiry, groups, ...wishes }: GivenWishes & {
    readonly action: "add";
    readonly name: string;
    readonly configPath: string;
    readonly expiry: Expiry | undefined;
    readonly groups: readonly string[] | undefined;
  },
): PeerAddition & { readonly configPath: string } {
  return {
    action,
    name,
    configPath,
    ...fileWishes(wishes),
    ...(expiry === undefined ? {} : { expiry }),
    ...(groups === undefined ? {} : { groups }),
  };
}

/** The same of `vpn peer rotate`. */
function rotation(
  { action, name, configPath, cancel, keyExpiry, ...wishes }: GivenWishes & {
    readonly action: "rotate";
    readonly name: string;
    readonly configPath: string;
    readonly cancel: boolean;
    readonly keyExpiry: Expiry | undefined;
  },
): PeerRotation & { readonly configPath: string } {
  const given = fileWishes(wishes);
  if (cancel && (keyExpiry !== undefined || Object.keys(given).length > 0)) {
    throw new UsageError(
      "--cancel gives the new key up: give no other option but --config",
    );
  }
  return {
    action,
    name,
    configPath,
    cancel,
    ...given,
    ...(keyExpiry === undefined ? {} : { keyExpiry }),
  };
}

function fileWishes(
  { fullTunnel, allowedIps, out, endpoints, dns }: GivenWishes,
): ClientFileWishes {
  if (fullTunnel && allowedIps !== undefined) {
    throw new UsageError(
      "--full-tunnel and --allowed-ips exclude each other: give only one of them",
    );
  }
  if (endpoints.length > MAX_ENDPOINTS) throw new UsageError(`--endpoint: ${ENDPOINTS_RULE}`);
  const networks = fullTunnel ? FULL_TUNNEL : allowedIps;
  return {
    ...(out === undefined ? {} : { out }),
    ...(endpoints.length === 0 ? {} : { endpoints }),
    ...(networks === undefined ? {} : { allowedIps: networks }),
    ...(dns === undefined ? {} : { dns }),
  };
}

/** What `vpn peer show` is asked for. */
function view(
  { file, ...rest }: Omit<PeerView, "file"> & {
    readonly file: string | undefined;
    readonly configPath: string;
  },
): PeerView & { readonly configPath: string } {
  if (file !== undefined && !rest.qr) {
    throw new UsageError(`cannot write "${file}": FILE is only for --qr`);
  }
  if (rest.overwrite && file === undefined) {
    throw new UsageError("--overwrite needs --qr FILE: give the file");
  }
  return { ...rest, file: file ?? null };
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").replace(/\.$/, "");
}
