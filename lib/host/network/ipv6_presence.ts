/** Whether the kernel has IPv6: it may be built without, or started with `ipv6.disable=1`. */

/** Of the thread's own network namespace. Unlike the files under `/proc/sys`, it is not hidden in containers. */
const INTERFACES = "/proc/thread-self/net/if_inet6";

/** Whether new interfaces begin without IPv6. */
const DISABLED_BY_DEFAULT = "/proc/sys/net/ipv6/conf/default/disable_ipv6";

/** Where not, no IPv6 packet leaves the host, so that there is nothing to block. */
export function hasIpv6(): boolean {
  try {
    return Deno.statSync(INTERFACES).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether an interface of ours can have IPv6: it may be off, as in containers, which may not switch it on. */
export function canCarryIpv6(): boolean {
  if (!hasIpv6()) return false;
  try {
    if (Deno.readTextFileSync(DISABLED_BY_DEFAULT).trim() === "0") return true;
    Deno.openSync(DISABLED_BY_DEFAULT, { write: true }).close();
    return true;
  } catch {
    return false;
  }
}
