/** That the groups which access rules name are there; peers may come later, and go. */
import type { AccessRule, GroupConfig, PeerConfig } from "../config.ts";
import { BadValueError, quoted } from "../config_error.ts";
import { nearestName } from "./nearest.ts";
import type { Notes } from "./notes.ts";

/** A section with rules. */
interface Section {
  readonly header: string;
  readonly line: number;
  readonly allow: readonly AccessRule[];
  readonly deny: readonly AccessRule[];
}

/**
 * Checks what the rules of peers and groups name.
 *
 * @throws {BadValueError} for a group that is not there
 */
export function checkAccessReferences(
  fileName: string,
  { peers, groups }: {
    readonly peers: readonly PeerConfig[];
    readonly groups: readonly GroupConfig[];
  },
  notes: Notes,
): void {
  const peerNames = new Set(peers.map(({ name }) => name));
  const groupNames = groups.map(({ name }) => name);
  const sections: Section[] = [
    ...peers.map((peer) => ({ ...peer, header: "[Peer]" })),
    ...groups.map((group) => ({ ...group, header: "[Group]" })),
  ];
  for (const { header, line, allow, deny } of sections) {
    for (const [key, rules] of [["Allow", allow], ["Deny", deny]] as const) {
      for (const { target } of rules) {
        if (target.kind === "group" && !groupNames.includes(target.name)) {
          const nearest = nearestName(target.name, groupNames);
          throw new BadValueError(
            `${fileName}:${line}: ${header}: ${key}`,
            `cannot use ${quoted(`group:${target.name}`)}: ${
              nearest === undefined
                ? `there is no [Group] with Name = ${target.name}`
                : `did you mean "${nearest}"?`
            }`,
          );
        }
        if (target.kind === "peer" && !peerNames.has(target.name)) {
          notes.warn(
            { fileName, line, key: `${header}: ${key}`, value: "" },
            `there is no peer ${quoted(target.name)}: the rule has no effect`,
          );
        }
      }
    }
  }
}
