/** IPv6 of the TUN: what the kernel is to do with it there, as sysctls of the interface. */

/** By address alone, without what belongs to a link: no address of the kernel's making, no router is looked for. */
const SETTINGS = {
  accept_ra: "0",
  router_solicitations: "0",
  addr_gen_mode: "1",
  disable_ipv6: "0",
} as const;

export function enableIpv6(name: string): void {
  for (const [setting, value] of Object.entries(SETTINGS)) {
    try {
      Deno.writeTextFileSync(pathOf(name, setting), value);
    } catch {
      // In a container that may not, they are as for all interfaces there. What comes of it is dropped and counted.
    }
  }
}

/**
 * Which of these settings are others now. A sysctl takes all addresses and routes from an interface, and no other is
 * taken until it is put back; an MTU below IPv6's least does the same, and leaves an interface like a new one.
 */
export function changedSettings(name: string): string[] {
  return Object.entries(SETTINGS).flatMap(([setting, value]) =>
    (settingOf(name, setting) ?? value) === value ? [] : [`${setting} = ${value} of ${name}`]
  );
}

/** Null where the interface has no IPv6 at the moment. */
function settingOf(name: string, setting: string): string | null {
  try {
    return Deno.readTextFileSync(pathOf(name, setting)).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function pathOf(name: string, setting: string): string {
  return `/proc/sys/net/ipv6/conf/${name}/${setting}`;
}

/** The tunnel carries IPv4 alone: without this, the kernel would send router solicitations into it. */
export function disableIpv6(name: string): void {
  try {
    Deno.writeTextFileSync(pathOf(name, "disable_ipv6"), "1");
  } catch {
    // A kernel without IPv6, or a container that may not: then those packets come, and are dropped and counted.
  }
}
