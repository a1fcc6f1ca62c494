/** Cipher packages: libraries for packets that are of use here and missing, and installing them on Debian. */
import { HOST_BORINGSSL } from "../../ffi/crypto/boringssl_library.ts";

/** A library. */
interface Cipher {
  readonly title: string;
  /** File names or paths that it is opened by. */
  readonly files: readonly string[];
  /** Packages by release, the newest first. */
  readonly packages: readonly string[];
  /** Processors that it might be of use on. */
  readonly architectures: readonly string[];
}

const CIPHERS: readonly Cipher[] = [
  {
    title: "libIPSec_MB",
    files: ["libIPSec_MB.so.2", "libIPSec_MB.so.1"],
    packages: ["libipsec-mb2", "libipsec-mb1"],
    architectures: ["x86_64"],
  },
  {
    title: "BoringSSL",
    files: [HOST_BORINGSSL],
    packages: ["android-libboringssl"],
    architectures: ["x86_64", "aarch64"],
  },
];

/** The titles of those that are missing. */
export function missingCiphers(): string[] {
  return missing().map(({ title }) => title);
}

/** What keeps a test that needs BoringSSL from running here, in words; null when nothing does. */
export function boringsslTrouble(): string | null {
  return missingCiphers().includes("BoringSSL") ? "it needs android-libboringssl" : null;
}

/**
 * Installs them, as the release at hand has them. Failing is no error: `missingCiphers()` says so.
 *
 * @param install installs a package, by apt's lists as they are; whether that has succeeded
 */
export async function installCiphers(install: (name: string) => Promise<boolean>): Promise<void> {
  for (const { packages } of missing()) {
    for (const name of packages) if (await install(name)) break;
  }
}

function missing(): Cipher[] {
  return CIPHERS.filter(({ architectures, files }) =>
    architectures.includes(Deno.build.arch) && !files.some(isLoadable)
  );
}

function isLoadable(name: string): boolean {
  try {
    Deno.dlopen(name, {}).close();
    return true;
  } catch {
    return false;
  }
}
