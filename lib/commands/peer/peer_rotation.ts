/** Peer rotation: another key pair for a client, and its configuration with that in the place of the one it had. */
import { basename } from "node:path";
import type { PeerRotation } from "../../cli/command.ts";
import { CLIENT_KEY_PLACE } from "../../control/application/methods.ts";
import type { RotationRequest } from "../../control/application/peer_application.ts";
import type { PeerConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { parseDocument } from "../../core/config/text/config_document.ts";
import { parseEndpoints } from "../../core/config/values/addresses.ts";
import { expiryTime, formatExpires } from "../../core/config/values/expiry.ts";
import { decodeKey, encodeKey } from "../../core/config/values/key_text.ts";
import { entryOf } from "../../core/peers/peer_settings.ts";
import { publicKey } from "../../core/noise/x25519.ts";
import {
  clientFileName,
  clientFilePath,
  clientFolderName,
  readClientFile,
} from "../../host/files/client_files.ts";
import { LockedConfig } from "../../host/files/config_store.ts";
import { ReservedFile } from "../../host/files/reserved_file.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { shellWord } from "../../process/shell_word.ts";
import { newPrivateKey } from "../keys.ts";
import { peerTitle } from "./peer_names.ts";
import type { PeerPlace } from "./peer_place.ts";

interface RotatedPeer {
  /** The client's configuration, with its new private key. */
  readonly text: string;
  /** Where that was written; null for nowhere. */
  readonly path: string | null;
}

type Place = Pick<PeerPlace, "rotate" | "change" | "appliedOn">;
type Request = PeerRotation & { readonly configPath: string };

/**
 * Does what is asked for, and says so.
 *
 * @param where what has the peer, as a person is told
 * @throws {ConfigError | AppError | RefusalError} with nothing changed
 */
export async function runRotation(
  place: Place,
  peer: PeerConfig,
  request: Request,
  where: string,
): Promise<void> {
  const title = peerTitle(peer);
  const applied = () =>
    place.appliedOn.map((name) => `The running gateway on ${name} has applied it.\n`).join("");
  if (request.cancel) {
    if (peer.nextKey === null) {
      throw new AppError(`${title} has no new keys in ${where}`, { exitCode: ExitCode.usage });
    }
    await place.change([encodeKey(peer.publicKey)], { NextPublicKey: null });
    const file = await removeFileOf(peer, request.configPath)
      ? "Its configuration file here, which had them, is deleted.\n"
      : "";
    writeText(Deno.stdout, `Removed the new keys of ${title} from ${where}.\n${file}${applied()}`);
    return;
  }
  const { text, path } = await rotatePeer(place, peer, request);
  const { keyExpiry, configPath } = request;
  const end = keyExpiry === undefined ? null : expiryTime(keyExpiry, Date.now());
  const most = end === null ? "" : `, and until ${formatExpires(end)} at most`;
  const about =
    `${title} has new keys in ${where}. Its old ones are valid until it first connects ` +
    `with the new ones${most}.\n${applied()}`;
  if (path === null) {
    writeText(Deno.stdout, text);
    writeText(Deno.stderr, `${about}Its private key is not stored here.\n`);
    return;
  }
  const config = configPath === "server.conf" ? "" : ` --config ${shellWord(configPath)}`;
  const phone = request.out === undefined
    ? `For a phone:             vpn peer show ${shellWord(title)} --qr${config}\n`
    : "";
  writeText(
    Deno.stdout,
    `${about}Configuration file, with its new private key: ${path}

Copy the file and run:   vpn client --config ${shellWord(basename(path))}      (as root)
${phone}`,
  );
}

/**
 * Makes a client's new keys, has the gateway take them beside the old ones and writes its configuration.
 *
 * @throws {ConfigError | AppError | RefusalError} with nothing changed
 */
async function rotatePeer(
  place: Place,
  peer: PeerConfig,
  request: Request,
): Promise<RotatedPeer> {
  const { name } = peer;
  const { configPath } = request;
  if (name === null && request.out === undefined) {
    throw new AppError(
      "Cannot rotate the keys: the peer has no name for its configuration file: give --out FILE, or name it by " +
        `\`vpn peer rename ${shellWord(peerTitle(peer))} NAME\``,
      { exitCode: ExitCode.usage },
    );
  }
  const { privateKey, request: asked } = newKeys(peer, request);
  // Before the keys that a client may have been given last are given up for these.
  using reserved = request.out === undefined || request.out === "-"
    ? null
    : new ReservedFile(request.out);
  const rotated = await place.rotate(asked);
  const text = rotated.client.text.replace(CLIENT_KEY_PLACE, encodeKey(privateKey));
  const { out = clientFilePath(configPath, name ?? "") } = request;
  const path = out === "-" ? null : out;
  try {
    if (request.out === undefined) {
      using file = await LockedConfig.open(configPath);
      file.putBeside(clientFolderName(configPath), clientFileName(name!), { path: out, text });
    } else reserved?.write(text);
  } catch (error) {
    // Nobody could ever connect by it.
    await place.change([encodeKey(peer.publicKey)], { NextPublicKey: null });
    throw error;
  }
  return { text, path };
}

function newKeys(
  peer: PeerConfig,
  { configPath, keyExpiry, endpoints, allowedIps, dns }: Request,
): { readonly privateKey: Uint8Array; readonly request: RotationRequest } {
  const privateKey = newPrivateKey();
  const expires = keyExpiry === undefined ? null : expiryTime(keyExpiry, Date.now());
  const kept = peer.name === null ? {} : keptWishes(configPath, peer.name);
  return {
    privateKey,
    request: {
      name: encodeKey(peer.publicKey),
      publicKey: encodeKey(publicKey(privateKey)),
      hasPresharedKey: true,
      ...(expires === null ? {} : { keyExpires: formatExpires(expires) }),
      endpoints: endpoints ?? kept.endpoints,
      allowedIps: allowedIps ?? kept.allowedIps,
      dns: dns ?? kept.dns,
    },
  };
}

/** Removes a client's file if it has the private key of its next key: nobody could connect by it any more. */
async function removeFileOf({ name, nextKey }: PeerConfig, configPath: string): Promise<boolean> {
  const text = name === null ? null : readClientFile(configPath, name);
  if (name === null || text === null || nextKey === null) return false;
  const key = decodeKey(/^\s*PrivateKey\s*=\s*(\S+)/im.exec(text)?.[1] ?? "");
  if (key === null || encodeKey(publicKey(key)) !== encodeKey(nextKey.publicKey)) return false;
  using file = await LockedConfig.open(configPath);
  const path = clientFilePath(configPath, name);
  return file.removeBeside(clientFolderName(configPath), clientFileName(name), path);
}

/** What the client's file says that is not the gateway's to know; nothing where that is not kept, or not understood. */
function keptWishes(
  configPath: string,
  name: string,
): Pick<RotationRequest, "endpoints" | "allowedIps" | "dns"> {
  const text = readClientFile(configPath, name);
  if (text === null) return {};
  try {
    const entries = parseDocument(text, clientFilePath(configPath, name))
      .flatMap((section) => section.entries);
    const valueOf = (key: string) => {
      const values = entries.filter((entry) => entry.key.toLowerCase() === key.toLowerCase())
        .map(({ value }) => value);
      return values.length === 0 ? undefined : values.join(", ");
    };
    const endpoints = valueOf("Endpoint");
    return {
      endpoints: endpoints === undefined
        ? undefined
        : parseEndpoints(entryOf("Endpoint", endpoints)),
      allowedIps: valueOf("AllowedIPs"),
      dns: valueOf("DNS"),
    };
  } catch (error) {
    if (error instanceof ConfigError) return {};
    throw error;
  }
}
