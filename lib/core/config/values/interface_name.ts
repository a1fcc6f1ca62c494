/** Names of network interfaces: which may be given. */

/**
 * Whether `name` may be an interface's: wg-quick's rule, which is narrower than the kernel's. Names get into paths,
 * tables of the firewall and, as `%i`, into commands, where a `$`, a quote or a space would mean something else.
 */
export function isInterfaceName(name: string): boolean {
  return /^[a-zA-Z0-9_=+.-]{1,15}$/.test(name) && name !== "." && name !== "..";
}

/** The rule in words, for messages. */
export const INTERFACE_NAME_RULE =
  "an interface name has 1 to 15 letters, digits or characters of _ = + . -";
