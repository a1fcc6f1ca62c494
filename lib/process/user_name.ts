/** User name: what the user with a number is called on this host. */

/** By /etc/passwd; `user 1000` for one that it does not have. */
export function userName(user: number): string {
  if (user === 0) return "root";
  try {
    for (const line of Deno.readTextFileSync("/etc/passwd").split("\n")) {
      const [name, , id] = line.split(":");
      if (name && id === `${user}`) return name;
    }
  } catch {
    // Its number says it as well.
  }
  return `user ${user}`;
}
