/** IPsec-MB as a package: whether it is of use here and missing, and what Debian and its kin call it. */

/** By release, the newest first. */
export const PACKAGE_NAMES = ["libipsec-mb2", "libipsec-mb1"] as const;

const NAMES = ["libIPSec_MB.so.2", "libIPSec_MB.so.1"];

/** Whether there is none on a processor that it might be of use on. */
export function isMissing(): boolean {
  return Deno.build.arch === "x86_64" && !NAMES.some(isLoadable);
}

function isLoadable(name: string): boolean {
  try {
    Deno.dlopen(name, {}).close();
    return true;
  } catch {
    return false;
  }
}
