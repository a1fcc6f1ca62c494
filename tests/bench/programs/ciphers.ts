/** Ciphers: the libraries that this machine's `vpn` may take for packets, besides OpenSSL's. */
import { HOST_BORINGSSL, loadBoringssl } from "../../../ffi/crypto/boringssl_library.ts";
import { loadIpsecMb } from "../../../ffi/crypto/ipsec_mb_library.ts";

/** What is of use on this processor, each with its version where it tells one. */
export interface CipherVersions {
  readonly "ipsec-mb"?: string;
  readonly "boringssl"?: string;
}

/** Looks for them. */
export function cipherVersions(): CipherVersions {
  const ipsecMb = loadIpsecMb();
  const boringssl = loadBoringssl(HOST_BORINGSSL);
  try {
    return {
      ...(ipsecMb && { "ipsec-mb": ipsecMbVersion(ipsecMb.library.symbols.imb_get_version()) }),
      ...(boringssl && { "boringssl": "BoringSSL" }),
    };
  } finally {
    ipsecMb?.library.close();
    boringssl?.library.close();
  }
}

function ipsecMbVersion(version: number): string {
  return `IPsec-MB ${[version >> 16, version >> 8 & 255, version & 255].join(".")}`;
}
