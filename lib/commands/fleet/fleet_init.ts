/** Command `vpn fleet init`: makes a gateway the first of a fleet, and what the servers of NATS and the others need. */
import { join } from "node:path";
import type { FleetInitRequest } from "../../cli/fleet_request.ts";
import { atOnce } from "../../core/config/at_once.ts";
import type { Config, Endpoint } from "../../core/config/config.ts";
import { DEFAULT_LISTEN_PORT, validateServer } from "../../core/config/roles.ts";
import { formatEndpoint, serverFileText } from "../../core/config/text/config_writer.ts";
import { INTERFACE_SECTION, SectionEditor } from "../../core/config/text/section_edit.ts";
import type { NatsServer } from "../../core/config/values/store_keys.ts";
import { commonSettings, type StoreFiles } from "../../core/fleet/join/common_settings.ts";
import { joinTokenText } from "../../core/fleet/join/join_token.ts";
import { natsConfigText, natsName } from "../../core/fleet/join/nats_config.ts";
import { bracketed } from "../../core/wire/host_address.ts";
import { formatCidr, formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { type ReadConfig, textSteps } from "../../host/files/config_file.ts";
import { LockedConfig } from "../../host/files/config_store.ts";
import { newAuthority } from "../../host/fleet/certificates.ts";
import { newUserKey } from "../../host/fleet/user_key.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { shellWord } from "../../process/shell_word.ts";
import { newPrivateKey } from "../keys.ts";
import {
  besideConfig,
  exists,
  requireFree,
  storeFilesOf,
  type TextFile,
  writeFiles,
} from "./fleet_files.ts";

/** A gateway's key at the store, as `newUserKey()` makes it. */
type UserKey = ReturnType<typeof newUserKey>;

/** Writes the files and says what comes next. @throws {AppError | ConfigError} with nothing changed */
export async function initFleet(request: FleetInitRequest): Promise<number> {
  const { configPath, nats, gateways, out } = request;
  const names = storeFilesOf(configPath);
  const paths = [names.credentials, names.ca].map((name) => besideConfig(configPath, name));
  requireFree(paths, "remove it, if it is of no fleet any more");
  requireEmpty(out);
  const isNew = !exists(configPath);
  using file = isNew ? null : await LockedConfig.open(configPath);
  const { text, config } = file?.read() ?? newGateway(request);
  requireAlone(config);
  const after = atOnce(withStoreSteps(text, request, names));
  requireGood(atOnce(textSteps(configPath, after, "refuse")));
  const { common: settings, own } = atOnce(commonSettings(after));

  const authority = await newAuthority(Date.now());
  const keys = Array.from({ length: gateways }, newUserKey);
  const tokens = keys.slice(1).map(({ seed }, index) => ({
    path: join(out, tokenName(index + 2)),
    text: `${joinTokenText({ settings, seed, ca: authority.certificate })}\n`,
  }));
  const files: TextFile[] = [
    { path: join(out, "ca.pem"), text: authority.certificate },
    { path: join(out, "ca-key.pem"), text: authority.privateKey },
  ];
  for (const [index, { host }] of nats.entries()) {
    const folder = join(out, natsName(index + 1));
    const { certificate, privateKey } = await authority.certify(host);
    files.push(
      { path: join(folder, "server.pem"), text: certificate },
      { path: join(folder, "server-key.pem"), text: privateKey },
      { path: join(folder, "ca.pem"), text: authority.certificate },
      {
        path: join(folder, "nats-server.conf"),
        text: natsConfigText({
          number: index + 1,
          servers: nats,
          gateways: keys.map(({ publicKey }) => publicKey),
        }),
      },
    );
  }
  files.push(
    ...tokens,
    { path: paths[0]!, text: `${keys[0]!.seed}\n` },
    { path: paths[1]!, text: authority.certificate },
    ...isNew ? [{ path: configPath, text: after }] : [],
  );
  writeFiles(files, { overwrite: false }, () => file?.replace(after));
  writeText(Deno.stdout, nextSteps(request, { config, own, keys, isNew }));
  return ExitCode.ok;
}

/** As `vpn init` has it. @throws {AppError} where it is not known how clients reach it */
function newGateway(
  { configPath, endpoint, virtualAddress, subnet }: FleetInitRequest,
): ReadConfig {
  const reached: Endpoint | null = endpoint ??
    endpointOf(virtualAddress);
  if (reached === null) {
    throw new AppError(
      `There is no ${configPath}: make it with \`vpn init\`, or give --endpoint HOST[:PORT], where clients reach ` +
        "this gateway",
      { exitCode: ExitCode.usage },
    );
  }
  const text = serverFileText({
    privateKey: newPrivateKey(),
    address: { address: subnet.address + 1, prefixLength: subnet.prefixLength },
    address6: null,
    endpoint: reached,
    controlGroup: null,
  });
  return { text, config: atOnce(textSteps(configPath, text, "refuse")) };
}

/** Where clients reach a gateway that has an address by turns. */
function endpointOf(virtual: FleetInitRequest["virtualAddress"]): Endpoint | null {
  if (virtual === null) return null;
  const { address } = virtual;
  return { host: formatIpv4(address), address, port: DEFAULT_LISTEN_PORT };
}

/** So that nothing of another fleet is among what is carried to the hosts. */
function requireEmpty(folder: string): void {
  try {
    for (const { name } of Deno.readDirSync(folder)) {
      throw new AppError(
        `Cannot write to ${folder}: it has ${name} already: give another folder with --out`,
        { exitCode: ExitCode.usage },
      );
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    if (!(error instanceof Deno.errors.NotADirectory)) throw error;
    throw new AppError(`Cannot write to ${folder}: it is no folder: give another with --out`, {
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
}

function requireAlone({ fileName, interface: { lines } }: Config): void {
  for (const key of ["Store", "StoreCredentials", "StoreCA"]) {
    const line = lines.get(key);
    if (line === undefined) continue;
    throw new AppError(
      `${fileName}:${line}: ${key}: this gateway is in a fleet already: \`vpn fleet leave --keep-peers\` takes it out`,
      { exitCode: ExitCode.usage },
    );
  }
}

/** What the gateway would refuse at its start; its peers are moved to the store before that. */
function requireGood(config: Config): void {
  validateServer({ ...config, peers: [], groups: [] });
}

/** The file's text with the fleet's settings; in steps. */
function* withStoreSteps(
  text: string,
  { nats, virtualAddress, endpoint }: FleetInitRequest,
  { credentials, ca }: StoreFiles,
): Generator<void, string> {
  const editor = yield* SectionEditor.of(text);
  const set = (key: string, value: string, repeats = false) =>
    editor.set(INTERFACE_SECTION, { key, value, repeats });
  if (endpoint !== null) set("PublicEndpoint", formatEndpoint(endpoint));
  set("Store", nats.map(storeUrl).join(", "), true);
  set("StoreCredentials", credentials);
  set("StoreCA", ca);
  if (virtualAddress !== null) set("VirtualAddress", formatCidr(virtualAddress));
  return editor.text;
}

function storeUrl({ host, port }: NatsServer): string {
  return `tls://${bracketed(host)}:${port}`;
}

function tokenName(gateway: number): string {
  return `gateway-${gateway}.token`;
}

function nextSteps(
  { configPath, nats, out, gateways }: FleetInitRequest,
  { config, own, keys, isNew }: {
    readonly config: Config;
    readonly own: readonly string[];
    readonly keys: readonly UserKey[];
    readonly isNew: boolean;
  },
): string {
  const option = configPath === "server.conf" ? "" : ` --config ${shellWord(configPath)}`;
  const others = Array.from({ length: gateways - 1 }, (_, index) => index + 2);
  const steps = [
    [
      "Run NATS (nats-server 2.9 or later) on each of its hosts, with its folder as /etc/nats, by its own user:",
      ...nats.map(({ host, port, routePort }, index) =>
        `  ${host}: scp -r ${shellWord(join(out, natsName(index + 1)))} root@${host}:/etc/nats` +
        `   (TCP port ${port} for gateways${nats.length === 1 ? "" : `, ${routePort} for servers`})`
      ),
      "  there:  chown -R nats: /etc/nats && nats-server --config /etc/nats/nats-server.conf",
    ],
    ...config.peers.length + config.groups.length === 0
      ? []
      : [[`Move the peers and groups to NATS:  vpn fleet import${option}`]],
    [`Run this gateway:  vpn server --config ${
      shellWord(configPath)
    }      (as root; one that runs has to restart)`],
    ...others.length === 0 ? [] : [[
      "Have the others join; each token is for one of them, and then deleted:",
      ...others.map((number) =>
        `  ssh root@GATEWAY-${number} vpn fleet join - < ${shellWord(join(out, tokenName(number)))}`
      ),
    ]],
  ];
  return [
    `${configPath}: ${
      isNew ? "new, " : ""
    }the first of ${gateways} gateways, with peers in NATS on ${
      nats.map(({ host }) => host).join(", ")
    }`,
    `${out}: what is carried to the other hosts. Tokens and keys in there are secret, and a token that is lost is good ` +
    "until its gateway's key is taken out of NATS. Keep ca-key.pem offline, or delete it: it signs for servers of NATS.",
    ...own.length === 0
      ? []
      : [`Not in the tokens, as each gateway has its own: ${own.join(", ")}`],
    "Keys of the gateways in NATS:",
    ...keys.map(({ publicKey }, index) => `  gateway ${index + 1}: ${publicKey}`),
    "",
    ...steps.flatMap(([first, ...more], index) => [`${index + 1}. ${first}`, ...more]),
    "",
  ].join("\n");
}
