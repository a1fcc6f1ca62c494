/** User names: what users and groups of users are called on this host. */

/** What the user with a number is called, by /etc/passwd; `user 1000` for one that it does not have. */
export function userName(user: number): string {
  if (user === 0) return "root";
  const entry = entriesOf("/etc/passwd").find(([, , id]) => id === `${user}`);
  return entry?.[0] ?? `user ${user}`;
}

/** The number of a user, by /etc/passwd; null where there is none of this name. */
export function userId(name: string): number | null {
  return idOf("/etc/passwd", name);
}

/** The number of a group of users, by /etc/group; null where there is none of this name. */
export function groupId(name: string): number | null {
  return idOf("/etc/group", name);
}

/** What stands in the third field of either file. */
function idOf(path: string, name: string): number | null {
  const entry = entriesOf(path).find(([known]) => known === name);
  const id = Number(entry?.[2] ?? NaN);
  return Number.isSafeInteger(id) ? id : null;
}

/** Lines of fields with colons between; none where the file cannot be read. */
function entriesOf(path: string): string[][] {
  try {
    return Deno.readTextFileSync(path).split("\n").map((line) => line.split(":"));
  } catch {
    return [];
  }
}
