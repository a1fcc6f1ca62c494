/** Command `vpn peer`: what it does with a gateway's clients, and what it says. */
import type { PeerRequest, PeerUpdate } from "../../cli/command.ts";
import type { PeerEntry } from "../../control/application/methods.ts";
import { tableLines } from "../../cli/table.ts";
import type { Config, PeerConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { formatAccessRules } from "../../core/config/values/access_rules.ts";
import { formatExpires } from "../../core/config/values/expiry.ts";
import { formatQuota } from "../../core/config/values/quota.ts";
import { admissionOf } from "../../core/peers/admission.ts";
import { clientFilePath, readClientFile } from "../../host/files/client_files.ts";
import { loadToChange } from "../../host/files/config_store.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { addPeer, removePeer } from "./peer_changes.ts";
import { chosenPeers, findPeer, peerTitle, refuseTakenName } from "./peer_names.ts";
import { liveRows, runningPeer } from "./peer_facts.ts";
import { fileOf, keyEndOf, listPeers, networksOf } from "./peer_list.ts";
import { placeOf } from "./peer_place.ts";
import { runRotation } from "./peer_rotation.ts";
import { runningFile } from "./running_peers.ts";
import { loadWithPeers } from "./store_peers.ts";
import { showCode as showQr } from "./peer_qr.ts";
import { settingChange } from "./peer_settings.ts";
import { shellWord } from "../../process/shell_word.ts";

type Request<Action> = Extract<PeerRequest, { readonly action: Action }>;

/**
 * Does what is asked for.
 *
 * @throws {ConfigError | AppError} where it cannot
 */
export async function runPeer(asked: PeerRequest): Promise<number> {
  if (asked.action === "list") return await listPeers(asked);
  const { interfaceName } = asked;
  const request = interfaceName === undefined
    ? asked
    : { ...asked, configPath: await runningFile(interfaceName) };
  if (request.action === "show") return await show(request);
  const config = loadToChange(request.configPath);
  if (config.interface.store.length > 0) {
    const { runFleetPeer } = await import("./store_changes.ts");
    return await runFleetPeer(request, config);
  }
  switch (request.action) {
    case "add":
      return await add(request, config);
    case "remove":
      return await remove(request, config);
    case "rotate":
      return await rotate(request, config);
    default:
      return await update(request, config);
  }
}

async function add(request: Request<"add">, server: Config): Promise<number> {
  const { configPath, name } = request;
  warn(server);
  const place = await placeOf(configPath, server);
  const { peer, text, path } = await addPeer(place, configPath, { ...request, server });
  const config = configPath === "server.conf" ? "" : ` --config ${shellWord(configPath)}`;
  const about = [
    `Added ${name} with inner ${addressText(peer)} to ${configPath}.`,
    ...place.appliedOn.map((where) => `The running gateway on ${where} has added it too.`),
  ].join("\n");
  if (path === null) {
    writeText(Deno.stdout, text);
    writeText(Deno.stderr, `${about} Its private key is not stored here.\n`);
    return ExitCode.ok;
  }
  writeText(
    Deno.stdout,
    `${about}
Configuration file, with its private key: ${path}

Copy the file and run:   vpn client --config ${shellWord(`${name}.conf`)}      (as root)
For a phone:             vpn peer show ${shellWord(name)} --qr${config}
`,
  );
  return ExitCode.ok;
}

async function show(request: Request<"show">): Promise<number> {
  const { configPath, name, qr } = request;
  const config = await loadWithPeers(configPath);
  warn(config);
  const peer = findPeer(config, name);
  if (qr) {
    showCode(request, peer);
    return ExitCode.ok;
  }
  const rows = [
    ["name", peer.name ?? "-"],
    ["public key", encodeKey(peer.publicKey)],
    ["preshared key", peer.presharedKey === null ? "none" : "yes"],
    ["addresses", networksOf(config, peer).join(", ") || "-"],
    ["groups", peer.groups.join(", ") || "-"],
    ["allow", formatAccessRules(peer.allow) || "-"],
    ["deny", formatAccessRules(peer.deny) || "-"],
    ["access", admissionOf(peer, Date.now())],
    ["expires", peer.expires === null ? "never" : formatExpires(peer.expires)],
    ["quota", peer.quota === null ? "none" : formatQuota(peer.quota)],
    ...nextKeyRows(peer),
    ["configuration", fileOf(configPath, peer) ?? "not stored here"],
    ...liveRows(await runningPeer(config, encodeKey(peer.publicKey))),
  ];
  writeText(Deno.stdout, `${tableLines(rows).join("\n")}\n`);
  return ExitCode.ok;
}

function nextKeyRows(peer: PeerConfig): string[][] {
  const { nextKey } = peer;
  if (nextKey === null) return [];
  const until = keyEndOf(peer) ?? "its first use";
  return [["next public key", encodeKey(nextKey.publicKey)], ["old key is valid until", until]];
}

/** The client's configuration, where it is kept, as a code that the WireGuard apps scan. */
function showCode({ configPath, file, overwrite }: Request<"show">, peer: PeerConfig): void {
  const text = peer.name === null ? null : readClientFile(configPath, peer.name);
  const title = peerTitle(peer);
  if (text === null) {
    const place = peer.name === null ? "here" : clientFilePath(configPath, peer.name);
    throw new AppError(
      `Cannot show ${title} as a QR code: its configuration file is not at ${place}, and only the client itself ` +
        `has its private key: run \`vpn peer remove ${shellWord(title)}\`, and add it again`,
      { exitCode: ExitCode.usage },
    );
  }
  showQr({ title, text, file, overwrite });
}

async function remove({ configPath, name }: Request<"remove">, server: Config): Promise<number> {
  warn(server);
  const peer = findPeer(server, name);
  const place = await placeOf(configPath, server);
  const fileRemoved = await removePeer(place, configPath, peer);
  const file = fileRemoved ? ", and its configuration file is deleted" : "";
  const lines = [
    `Removed ${peerTitle(peer)} from ${configPath}${file}.`,
    ...place.appliedOn.map((where) => `The running gateway on ${where} has removed it too.`),
  ];
  writeText(Deno.stdout, `${lines.join("\n")}\n`);
  return ExitCode.ok;
}

async function rotate(request: Request<"rotate">, server: Config): Promise<number> {
  const { configPath, name } = request;
  warn(server);
  const place = await placeOf(configPath, server);
  await runRotation(place, findPeer(server, name), request, configPath);
  return ExitCode.ok;
}

async function update(request: Extract<PeerRequest, PeerUpdate>, server: Config): Promise<number> {
  const { configPath, name } = request;
  const { edit: { key, value }, done } = await settingChange(request, Date.now());
  warn(server);
  const chosen = chosenPeers(server, name);
  const titles = chosen.map(peerTitle).join(", ");
  if (key === "Name" && value !== null && value !== chosen[0]!.name) {
    refuseTakenName(server, value, `rename ${titles}`);
  }
  if (key === "Name") warnOfForward(server, chosen[0]!.name);
  const place = await placeOf(configPath, server);
  await place.change(chosen.map(({ publicKey }) => encodeKey(publicKey)), { [key]: value });
  const lines = [
    done(titles, configPath),
    ...place.appliedOn.map((where) => `The running gateway on ${where} has applied it.`),
  ];
  writeText(Deno.stdout, `${lines.join("\n")}\n`);
  return ExitCode.ok;
}

function addressText({ allowedIps }: PeerEntry): string {
  const addresses = allowedIps.map((network) => network.replace(/\/\d+$/, ""));
  return `${addresses.length === 1 ? "address" : "addresses"} ${addresses.join(", ")}`;
}

/** Rules follow a peer's name; `[Interface]` is not for this command to change. */
function warnOfForward(
  { fileName, interface: { forwards, lines } }: Config,
  name: string | null,
): void {
  const isNamed = forwards.some(({ backEnds }) =>
    name !== null && backEnds.some(({ peer }) => peer === name)
  );
  if (!isNamed) return;
  const where = `${fileName}:${lines.get("Forward")}`;
  writeText(
    Deno.stderr,
    `vpn: warning: ${where}: Forward names ${name}, which has another name now: change it there, and \`vpn reload\`\n`,
  );
}

function warn({ warnings }: Config): void {
  for (const warning of warnings) writeText(Deno.stderr, `vpn: warning: ${warning}\n`);
}
