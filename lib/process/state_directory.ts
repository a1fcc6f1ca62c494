/** State directory: where is kept what outlives a reboot: `/var/lib/vpn`, or what systemd's `StateDirectory` names. */

/** Users other than root have their own (XDG Base Directory Specification). */
function stateDirectory(): string {
  const named = Deno.env.get("STATE_DIRECTORY");
  if (named) return named.split(":")[0]!;
  if (Deno.uid() === 0) return "/var/lib/vpn";
  const home = Deno.env.get("XDG_STATE_HOME") || `${Deno.env.get("HOME") ?? ""}/.local/state`;
  return `${home}/vpn`;
}

/** The file of a tunnel's accounts: by its device, and by the name of its network namespace where it has one. */
export function accountsPath(
  interfaceName: string,
  netns: string | null | undefined = null,
): string {
  return `${stateDirectory()}/${!netns ? "" : `${netns}.`}${interfaceName}.sqlite`;
}
