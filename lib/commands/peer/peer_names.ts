/** Peer names: a gateway's peers on the command line, by name, or by public key where they have none. */
import type { Config, PeerConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { nearestName } from "../../core/config/text/nearest.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { shellWord } from "../../process/shell_word.ts";

/**
 * The peer with this name or public key.
 *
 * @throws {AppError} if there is none, with the name that may have been meant
 */
export function findPeer({ fileName, peers }: Config, name: string): PeerConfig {
  const peer = peers.find((each) => each.name === name || encodeKey(each.publicKey) === name);
  if (peer !== undefined) return peer;
  const nearest = nearestName(name, peers.flatMap((each) => each.name ?? []));
  const help = nearest === undefined
    ? "`vpn peer list` shows all peers"
    : `did you mean "${nearest}"?`;
  throw new AppError(`${fileName} has no peer ${JSON.stringify(name)}: ${help}`, {
    exitCode: ExitCode.usage,
  });
}

/** What a peer is called: its name, or its public key. */
export function peerTitle(peer: PeerConfig): string {
  return peer.name ?? encodeKey(peer.publicKey);
}

/**
 * Makes sure that no peer has a name yet.
 *
 * @param action what cannot be done otherwise, as in `add laptop`
 * @throws {AppError}
 */
export function refuseTakenName({ fileName, peers }: Config, name: string, action: string): void {
  const taken = peers.find((peer) => peer.name === name);
  if (taken === undefined) return;
  throw new AppError(
    `Cannot ${action}: the peer on line ${taken.line} of ${fileName} has this name: ` +
      `choose another, or \`vpn peer remove ${shellWord(name)}\` first`,
    { exitCode: ExitCode.usage },
  );
}
