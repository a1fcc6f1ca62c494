/**
 * Certificates: an authority of a fleet's own, and what it signs for the servers of the store. They are for these
 * alone: gateways take no other authority for them (`StoreCA`), and trust this one for nothing else.
 */
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

/** ECDSA with P-256: what every TLS of these years takes. */
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** ms. Nobody renews them, so that they last; they begin early, as clocks differ. */
const LIFETIME = 20 * 365 * 86_400_000;
const EARLY = 86_400_000;
const NAME = "CN=vpn fleet";

/** Both in PEM. */
export interface Certified {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface Authority extends Certified {
  /** Signs a new key pair for the server of this name or address. */
  certify(host: string): Promise<Certified>;
}

/** A new one. @param now Unix ms */
export async function newAuthority(now: number): Promise<Authority> {
  cryptoProvider.set(crypto);
  const keys = await keyPair();
  const notBefore = new Date(now - EARLY);
  const notAfter = new Date(now + LIFETIME);
  const shared = { notBefore, notAfter, signingAlgorithm: ALGORITHM };
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...shared,
    name: NAME,
    serialNumber: serialNumber(),
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const certify = async (host: string): Promise<Certified> => {
    const own = await keyPair();
    const extensions: Extension[] = [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      // Servers of a cluster are each other's clients as well.
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([{ type: isIP(host) === 0 ? "dns" : "ip", value: host }]),
      await SubjectKeyIdentifierExtension.create(own.publicKey),
      await AuthorityKeyIdentifierExtension.create(authority, false),
    ];
    const certificate = await X509CertificateGenerator.create({
      ...shared,
      subject: "CN=vpn fleet store",
      issuer: authority.subject,
      serialNumber: serialNumber(),
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      extensions,
    });
    return { certificate: `${certificate.toString("pem")}\n`, privateKey: await pemOf(own) };
  };
  return {
    certificate: `${authority.toString("pem")}\n`,
    privateKey: await pemOf(keys),
    certify,
  };
}

async function keyPair(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function pemOf({ privateKey }: CryptoKeyPair): Promise<string> {
  const bytes = await crypto.subtle.exportKey("pkcs8", privateKey);
  return `${PemConverter.encode(bytes, "PRIVATE KEY")}\n`;
}

/** Hexadecimal; 127 bits by chance, positive, and never 0 (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toHex();
}
