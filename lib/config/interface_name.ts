/** Owns what the name of a network interface may be. */

/**
 * Whether Linux takes `name` for an interface: the rules of the kernel's `dev_valid_name()` (net/core/dev.c), and no
 * `%` (which a TUN would expand) nor control characters (which a log would suffer from).
 */
export function isInterfaceName(name: string): boolean {
  // IFNAMSIZ is 16 bytes with the terminating NUL.
  if (new TextEncoder().encode(name).length > 15) return false;
  // deno-lint-ignore no-control-regex
  return /^[^\s/:%\u0000-\u001f\u007f-\u009f]+$/.test(name) && name !== "." && name !== "..";
}

/** The rule in words, for messages. */
export const INTERFACE_NAME_RULE = 'an interface name has 1 to 15 bytes, no space, "/", ":" or "%"';
