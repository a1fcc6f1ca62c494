/** IPsec-MB as a package: whether it is of use here and missing, and its installation on Debian and its kin. */

/** By release, the newest first. */
const PACKAGE_NAMES = ["libipsec-mb2", "libipsec-mb1"] as const;

const NAMES = ["libIPSec_MB.so.2", "libIPSec_MB.so.1"];

/** Whether there is none on a processor that it might be of use on. */
export function isMissing(): boolean {
  return Deno.build.arch === "x86_64" && !NAMES.some(isLoadable);
}

/**
 * Installs it, as the release at hand has it. Failing is no error: `isMissing()` says so.
 *
 * @param install installs a package, by apt's lists as they are; whether that has succeeded
 */
export async function installIpsecMb(install: (name: string) => Promise<boolean>): Promise<void> {
  for (const name of PACKAGE_NAMES) {
    if (await install(name)) return;
  }
}

function isLoadable(name: string): boolean {
  try {
    Deno.dlopen(name, {}).close();
    return true;
  } catch {
    return false;
  }
}
