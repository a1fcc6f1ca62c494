/** A client's configuration as a file: the private key put into what the gateway gives, and the file's name. */

/** Where the gateway leaves room for the key that it never sees. */
const KEY_PLACE = "{PRIVATE_KEY}";

/**
 * @param text what the gateway gives
 * @param privateKey Base64
 */
export function clientConfig(text: string, privateKey: string): string {
  // A function, as `$&` and the like mean something in a replacement's text.
  return text.replace(KEY_PLACE, () => privateKey);
}

/** A name that wg-quick(8) takes, whose interface is named by it: 15 characters at most, of few kinds. */
export function configFileName(name: string): string {
  const plain = name.toLowerCase().replace(/[^a-z0-9_=+.-]+/g, "-").replace(/^[-.]+/, "");
  return `${plain.slice(0, 15).replace(/[-.]+$/, "") || "vpn"}.conf`;
}
