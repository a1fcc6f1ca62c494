/**
 * Console socket: by which a group of users of this host asks and changes a gateway. It lies in a folder of its own, as
 * what is beside root's socket is root's alone.
 */
import { dirname } from "node:path";
import type { Journal } from "../host/journal/journal.ts";
import { journalDirectory } from "../process/journal_directory.ts";
import { getLogger } from "../process/logging.ts";
import { groupId } from "../process/user_name.ts";
import { ControlServer, type ControlServerOptions } from "./server.ts";

/** Who is no member of the group passes by to another gateway's folder, and sees nothing. */
const PASS_ONLY = 0o711;
const OWNER_AND_GROUP = 0o750;

/** Where it is: `/run/vpn-console/INTERFACE`, or beside the folder of a user's control sockets. */
function consoleFolder(interfaceName: string): string {
  return `${journalDirectory()}-console/${interfaceName}`;
}

/**
 * Listens for a group. Null, and a line in the log, where that cannot be: a gateway is of use without a console.
 *
 * @param group its name
 */
export async function openConsoleSocket(
  group: string,
  { interfaceName, journal, handlers }: ControlServerOptions,
): Promise<ControlServer | null> {
  const folder = consoleFolder(interfaceName);
  try {
    const id = groupId(group);
    if (id === null) throw new Error("there is no such group: create it with `groupadd --system`");
    makeFolder(folder, { journal, group: id });
    return await ControlServer.openConsole({ folder, group: id, journal, handlers });
  } catch (error) {
    getLogger("control").warn(
      "ControlGroup: group {group} cannot use {folder}/control.sock: {error}",
      { group, folder, error },
    );
    return null;
  }
}

function makeFolder(
  folder: string,
  { journal, group }: { readonly journal: Journal; readonly group: number },
): void {
  journal.makeDirectory(folder);
  const parent = dirname(folder);
  const { uid, mode } = Deno.statSync(parent);
  // What systemd has made is open to all, which is as well.
  if (uid === Deno.uid() && ((mode ?? 0) & 0o001) === 0) Deno.chmodSync(parent, PASS_ONLY);
  Deno.chownSync(folder, null, group);
  Deno.chmodSync(folder, OWNER_AND_GROUP);
}
