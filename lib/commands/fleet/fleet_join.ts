/** Command `vpn fleet join`: makes this host another gateway of a fleet, from a token of `vpn fleet init`. */
import { X509Certificate } from "node:crypto";
import type { FleetJoinRequest } from "../../cli/fleet_request.ts";
import { atOnce } from "../../core/config/at_once.ts";
import type { Config } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { validateServer } from "../../core/config/roles.ts";
import { formatEndpoint } from "../../core/config/text/config_writer.ts";
import { joinedFileText } from "../../core/fleet/join/common_settings.ts";
import {
  isJoinToken,
  type JoinToken,
  MAX_TOKEN_LENGTH,
  readJoinToken,
} from "../../core/fleet/join/join_token.ts";
import { readAtMost, readStart } from "../../host/files/bounded_read.ts";
import { textSteps } from "../../host/files/config_file.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { shellWord } from "../../process/shell_word.ts";
import { readHidden } from "../hidden_input.ts";
import { reachStore } from "../peer/store_peers.ts";
import { besideConfig, requireFree, storeFilesOf, writeFiles } from "./fleet_files.ts";

const STANDARD_INPUT = "-";

/** Writes the files, and says whether the store answers. @throws {AppError | RefusalError} with nothing changed */
export async function joinFleet(
  { token: given, endpoint, overwrite, configPath }: FleetJoinRequest,
): Promise<number> {
  const names = storeFilesOf(configPath);
  const credentials = besideConfig(configPath, names.credentials);
  const ca = besideConfig(configPath, names.ca);
  const remedy = "choose another file with --config FILE, or add --overwrite";
  if (!overwrite) requireFree([configPath, credentials, ca], remedy);
  const token = readJoinToken(await tokenText(given));
  const text = joinedFileText(token.settings, names, endpoint && formatEndpoint(endpoint));
  const config = checked(token, text);
  const files = [
    { path: credentials, text: `${token.seed}\n` },
    { path: ca, text: token.ca },
    // Last: where it is, the others are.
    { path: configPath, text },
  ];
  writeFiles(files, { overwrite });
  const { publicEndpoint, virtualAddress } = config.interface;
  const option = configPath === "server.conf" ? "" : ` --config ${shellWord(configPath)}`;
  writeText(
    Deno.stdout,
    [
      `${configPath}: a gateway of the fleet; ${await storeLine(config, configPath)}`,
      ...publicEndpoint === null || virtualAddress !== null || endpoint !== null ? [] : [
        `Clients that are added here are sent to ${
          formatEndpoint(publicEndpoint)
        }, as at the first gateway: --endpoint names another place.`,
      ],
      "",
      `Run it:         vpn server --config ${shellWord(configPath)}      (as root)`,
      `See the fleet:  vpn fleet status${option}`,
      "Delete the token wherever it has been: it has the private key of the fleet.",
      "",
    ].join("\n"),
  );
  return ExitCode.ok;
}

/** A joining before the servers run is none the worse for that. */
async function storeLine(config: Config, configPath: string): Promise<string> {
  try {
    await using store = await reachStore(config, configPath);
    return `${store.state.server} answers, with ${(await store.snapshot()).peers.size} peers`;
  } catch (error) {
    return `NATS does not answer yet (${errorMessage(error)})`;
  }
}

async function tokenText(given: string): Promise<string> {
  if (isJoinToken(given)) {
    writeText(
      Deno.stderr,
      "vpn: warning: a token on the command line is seen by all users of this host, and kept by the shell: give its " +
        'file, or "-" for standard input\n',
    );
    return given;
  }
  // One byte more than allowed tells what is too long.
  const limit = MAX_TOKEN_LENGTH + 1;
  if (given !== STANDARD_INPUT) return readText(given, () => readStart(given, limit));
  if (Deno.stdin.isTerminal()) return await readHidden("Token: ", MAX_TOKEN_LENGTH);
  return readText("standard input", () => readAtMost(Deno.stdin, limit));
}

function readText(what: string, read: () => Uint8Array): string {
  try {
    return new TextDecoder().decode(read());
  } catch (cause) {
    const isMissing = cause instanceof Deno.errors.NotFound;
    const why = isMissing ? "no such file: give the file of a token" : errorMessage(cause);
    throw new AppError(`Cannot read the token from ${what}: ${why}`, {
      exitCode: ExitCode.usage,
      cause,
    });
  }
}

/** The configuration that the token comes to. @throws {AppError} where it is none of a gateway */
function checked({ ca }: JoinToken, text: string): Config {
  try {
    const config = validateServer(atOnce(textSteps("token", text, "refuse")));
    requireCertificates(ca);
    return config;
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new AppError(`Cannot use the token: ${cause.message}`, {
      exitCode: ExitCode.usage,
      cause,
    });
  }
}

function requireCertificates(pem: string): void {
  for (const certificate of pem.split(/(?=-----BEGIN)/)) {
    try {
      new X509Certificate(certificate);
    } catch (cause) {
      throw new ConfigError("it has a certificate that cannot be read: ask for another", { cause });
    }
  }
}
