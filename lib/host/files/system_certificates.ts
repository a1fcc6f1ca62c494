/** System certificates: the authorities that the host trusts, besides those that are in the runtime. */

import { readRegular } from "./bounded_read.ts";

/** Bytes; systems have a quarter of one MiB. */
const MAX_SIZE = 16 * 1024 * 1024;
/** Where systems keep them: Debian's, Alpine's and Arch's place, and Fedora's. */
const BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/** PEM: an administrator's own authority is there; empty where there is no such file. `SSL_CERT_FILE` names another. */
export function systemCertificates(): string {
  for (const path of [Deno.env.get("SSL_CERT_FILE") ?? "", ...BUNDLES]) {
    try {
      if (path !== "") return new TextDecoder().decode(readRegular(path, MAX_SIZE).bytes);
    } catch {
      // The next may be there.
    }
  }
  return "";
}
