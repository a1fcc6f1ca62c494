/** State directory: where is kept what outlives a reboot: `/var/lib/vpn`, or what systemd's `StateDirectory` names. */

/**
 * Users other than root have their own (XDG Base Directory Specification).
 *
 * @param name of a folder of ours
 */
function stateDirectory(name: string): string {
  if (Deno.uid() === 0) return `/var/lib/${name}`;
  const home = Deno.env.get("XDG_STATE_HOME") || `${Deno.env.get("HOME") ?? ""}/.local/state`;
  return `${home}/${name}`;
}

/** What systemd gives a unit of its own. */
function givenDirectory(): string | undefined {
  return Deno.env.get("STATE_DIRECTORY")?.split(":")[0] || undefined;
}

/** The file of a tunnel's accounts: by its device, and by the name of its network namespace where it has one. */
export function accountsPath(
  interfaceName: string,
  netns: string | null | undefined = null,
): string {
  return `${givenDirectory() ?? stateDirectory("vpn")}/${
    !netns ? "" : `${netns}.`
  }${interfaceName}.sqlite`;
}

/** The file of what clients have asked the DNS proxy, beside them; of no other device whose name has a dot in it. */
export function queriesPath(
  interfaceName: string,
  netns: string | null | undefined = null,
): string {
  return accountsPath(interfaceName, netns).replace(/sqlite$/, "queries");
}

/** The file of the flows that there were, beside them. */
export function flowsPath(
  interfaceName: string,
  netns: string | null | undefined = null,
): string {
  return accountsPath(interfaceName, netns).replace(/sqlite$/, "flows");
}

/** The file of which back ends of services are drained, beside them. */
export function drainedPath(
  interfaceName: string,
  netns: string | null | undefined = null,
): string {
  return accountsPath(interfaceName, netns).replace(/sqlite$/, "drained.json");
}

/** The file of what is known of a fleet's store, beside them. */
export function storePath(
  interfaceName: string,
  netns: string | null | undefined = null,
): string {
  return accountsPath(interfaceName, netns).replace(/sqlite$/, "store.json");
}

/** The file of a gateway's own key in its fleet, and of what it knows of the others. */
export function fleetPaths(
  interfaceName: string,
  netns: string | null | undefined = null,
): { readonly key: string; readonly gateways: string } {
  const accounts = accountsPath(interfaceName, netns);
  return {
    key: accounts.replace(/sqlite$/, "node.key"),
    gateways: accounts.replace(/sqlite$/, "gateways.json"),
  };
}

/**
 * The folder of a console's accounts and sessions, by the gateway's device: its unit's own is for that device. Another
 * user's than root's may have been given that of the host.
 */
export function consoleStatePath(interfaceName: string): string {
  const given = givenDirectory();
  if (given !== undefined) return given;
  const ofHost = `/var/lib/vpn-console/${interfaceName}`;
  return isOwn(ofHost) ? ofHost : `${stateDirectory("vpn-console")}/${interfaceName}`;
}

function isOwn(path: string): boolean {
  try {
    return Deno.statSync(path).uid === Deno.uid();
  } catch {
    return false;
  }
}
