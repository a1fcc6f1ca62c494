/** IPv6 of the TUN: what the kernel is to do with it there, as sysctls of the interface. */

/** By address alone, without what belongs to a link: no address of the kernel's making, no router is looked for. */
export function enableIpv6(name: string): void {
  const settings = {
    accept_ra: "0",
    router_solicitations: "0",
    addr_gen_mode: "1",
    disable_ipv6: "0",
  };
  for (const [setting, value] of Object.entries(settings)) {
    try {
      Deno.writeTextFileSync(`/proc/sys/net/ipv6/conf/${name}/${setting}`, value);
    } catch {
      // In a container that may not, they are as for all interfaces there. What comes of it is dropped and counted.
    }
  }
}

/** The tunnel carries IPv4 alone: without this, the kernel would send router solicitations into it. */
export function disableIpv6(name: string): void {
  try {
    Deno.writeTextFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1");
  } catch {
    // A kernel without IPv6, or a container that may not: then those packets come, and are dropped and counted.
  }
}
