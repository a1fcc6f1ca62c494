/** System certificates: the authorities that the host trusts, besides those that are in the runtime. */

/** Where systems keep them: Debian's, Alpine's and Arch's place, and Fedora's. */
const BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/** PEM: an administrator's own authority is there; empty where there is no such file. `SSL_CERT_FILE` names another. */
export function systemCertificates(): string {
  for (const path of [Deno.env.get("SSL_CERT_FILE") ?? "", ...BUNDLES]) {
    try {
      if (path !== "") return Deno.readTextFileSync(path);
    } catch {
      // The next may be there.
    }
  }
  return "";
}
