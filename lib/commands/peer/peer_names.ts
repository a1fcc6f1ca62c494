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

/**
 * The peers in a group, which may be none.
 *
 * @throws {AppError} if there is no such group, with the name that may have been meant
 */
export function membersOf({ fileName, peers, groups }: Config, group: string): PeerConfig[] {
  knownGroup(fileName, groups.map(({ name }) => name), group);
  return peers.filter((peer) => peer.groups.includes(group));
}

/** @throws {AppError} if it is none of these, with the name that may have been meant */
export function knownGroup(place: string, names: readonly string[], group: string): void {
  if (names.includes(group)) return;
  const nearest = nearestName(group, names);
  const help = nearest === undefined
    ? `add a section [Group] with Name = ${group}`
    : `did you mean "${nearest}"?`;
  throw new AppError(`${place} has no group ${JSON.stringify(group)}: ${help}`, {
    exitCode: ExitCode.usage,
  });
}

/**
 * The peers that a name on the command line stands for: one, or with `@` those in a group.
 *
 * @throws {AppError} if there is none
 */
export function chosenPeers(config: Config, name: string): PeerConfig[] {
  if (!name.startsWith("@")) return [findPeer(config, name)];
  const members = membersOf(config, name.slice(1));
  if (members.length > 0) return members;
  throw new AppError(`${config.fileName} has no peer in group ${name.slice(1)}`, {
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
