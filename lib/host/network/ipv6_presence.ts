/** Whether the kernel has IPv6: it may be built without, or started with `ipv6.disable=1`. */

/** Of the thread's own network namespace. Unlike the files under `/proc/sys`, it is not hidden in containers. */
const INTERFACES = "/proc/thread-self/net/if_inet6";

/** Where not, no IPv6 packet leaves the host, so that there is nothing to block. */
export function hasIpv6(): boolean {
  try {
    return Deno.statSync(INTERFACES).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
