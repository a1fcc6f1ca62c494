/**
 * Upkeep of resolvers that a program of the host manages: whether it still has those of the tunnel, and has them again.
 * Both programs keep files of what they were told, so that looking starts no process.
 */
import {
  makeResolvconf,
  makeResolvectl,
  type ResolvconfChange,
  type ResolvectlChange,
} from "./programs.ts";
import { nameServersOf } from "./resolv_conf.ts";
import { HOST_FILE, tryToRead } from "./resolv_conf_file.ts";
import { isResolvedInUse, RESOLVED_LINKS } from "./resolved.ts";

/**
 * Where they keep it; records are files in the first folder that is there: Debian's resolvconf, openresolv, the same
 * before 3.13.
 */
export interface ManagerPlaces {
  readonly links: string;
  readonly records: readonly string[];
  readonly hostFile: string;
}

const PLACES: ManagerPlaces = {
  links: RESOLVED_LINKS,
  records: ["interface", "keys", "interfaces"].map((name) => `/run/resolvconf/${name}`),
  hostFile: HOST_FILE,
};

/** How to look at a change, and to make it again. */
interface Keeping {
  isInPlace(): boolean;
  putBack(): void;
}

/** @param isInUse whether the host still asks systemd-resolved at all */
export function resolvectlKeeping(
  change: ResolvectlChange,
  { links }: Pick<ManagerPlaces, "links"> = PLACES,
  isInUse: () => boolean = isResolvedInUse,
): Keeping {
  return {
    isInPlace: () => isInUse() && hasLink(change, links),
    putBack: () => {
      if (!isInUse()) {
        throw new Error(
          `${HOST_FILE} no longer links to systemd-resolved: link it to stub-resolv.conf again`,
        );
      }
      makeResolvectl(change);
    },
  };
}

/** A version that keeps no such files is trusted, and so is a file that this process may not read. */
function hasLink({ index, servers, domains }: ResolvectlChange, links: string): boolean {
  if (!isDirectory(links)) return true;
  const path = `${links}/${index}`;
  const text = tryToRead(path);
  if (text === null) return infoOf(path) !== null;
  const set = (name: string) =>
    new RegExp(`^${name}=(.*)$`, "m").exec(text)?.[1].split(/\s+/) ?? [];
  const named = set("DOMAINS");
  return (servers.length === 0 || set("SERVERS").join() === servers.join()) &&
    domains.every((domain) => named.includes(domain));
}

/** The change has just been made: what resolvconf then has written into the host's file is to stay there as well. */
export function resolvconfKeeping(
  change: ResolvconfChange,
  { records, hostFile }: Pick<ManagerPlaces, "records" | "hostFile"> = PLACES,
): Keeping {
  const servers = nameServersOf(change.text);
  const areNamed = (path: string) => {
    const named = nameServersOf(tryToRead(path) ?? "");
    return servers.every((server) => named.includes(server));
  };
  // Not where a resolver on this host is told by it.
  const isOfHostFile = areNamed(hostFile);
  // It may have written a later tunnel's there in the place of ours, as -x asks for.
  const isGenerated = () => /^#.*\bresolvconf\b/m.test(tryToRead(hostFile) ?? "");
  const isInPlace = () => {
    const folder = records.find(isDirectory);
    return (folder === undefined || areNamed(`${folder}/${change.record}`)) &&
      (!isOfHostFile || areNamed(hostFile) || isGenerated());
  };
  return {
    isInPlace,
    putBack: () => {
      makeResolvconf(change);
      if (!isInPlace()) {
        throw new Error(
          `resolvconf does not write ${hostFile}: link it to resolvconf's file again`,
        );
      }
    },
  };
}

function isDirectory(path: string): boolean {
  return infoOf(path)?.isDirectory === true;
}

function infoOf(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch {
    return null;
  }
}
