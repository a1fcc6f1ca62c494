/** Addresses of IPv6 in network tests. */
import type { TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";

/** Gives an interface addresses, as in `2001:db8::1/64`, without a search for duplicates, and waits until they work. */
export async function giveIpv6(
  namespace: TestNamespace,
  device: string,
  ...addresses: readonly string[]
): Promise<void> {
  await namespace.output(["ip", "-6", "-batch", "-"], {
    stdin: addresses.map((address) => `address add ${address} dev ${device} nodad\n`).join(""),
  });
  await takesPacketsTo(namespace, addresses);
}

/**
 * Waits until packets to these of a host's addresses arrive, of any family: of IPv6, the kernel adds the routes of the
 * local table by and by (net/ipv6/addrconf.c, `addrconf_dad_work()`), and drops what comes before.
 */
export async function takesPacketsTo(
  namespace: TestNamespace,
  addresses: readonly string[],
): Promise<void> {
  const wanted = addresses.filter((address) => address.includes(":"));
  if (wanted.length === 0) return;
  await eventually(async () => {
    const routes = await namespace.output(["ip", "-6", "route", "show", "table", "local"]);
    return wanted.every((address) => routes.includes(`local ${address.split("/")[0]} dev `));
  }, { interval: 10, what: `local routes to ${wanted.join(", ")}` });
}
