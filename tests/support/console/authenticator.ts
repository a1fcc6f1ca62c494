/** Authenticator: one of WebAuthn, in software, that has verified its user: makes passkeys and answers challenges. */
import {
  createHash,
  createSign,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { Buffer } from "node:buffer";

/** Flags of authenticator data (WebAuthn, section 6.1). */
const USER_PRESENT = 1;
const USER_VERIFIED = 4;
const ATTESTED = 64;

type CborValue = number | string | Uint8Array | ReadonlyMap<number | string, CborValue>;

export interface AuthenticatorOptions {
  /** Where its page is. */
  readonly origin: string;
  /** Whether it has asked its user for more than a touch. */
  readonly isVerified?: boolean;
}

/** What of a relying party's options counts here. */
interface CreationOptions {
  readonly challenge: string;
  readonly rp: { readonly id: string };
}
interface RequestOptions {
  readonly challenge: string;
  readonly rpId: string;
}

export class Authenticator {
  readonly id = randomBytes(16);
  readonly #key: KeyObject;
  readonly #point: { readonly x: Uint8Array; readonly y: Uint8Array };
  counter = 0;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = privateKey;
    const { x = "", y = "" } = publicKey.export({ format: "jwk" });
    this.#point = { x: Buffer.from(x, "base64url"), y: Buffer.from(y, "base64url") };
  }

  /** A browser's answer to options for a new passkey. */
  register(options: CreationOptions, { origin, isVerified = true }: AuthenticatorOptions): unknown {
    const { x, y } = this.#point;
    // COSE_Key of ES256 (RFC 9053, section 2.1).
    const key = cbor(new Map<number, CborValue>([[1, 2], [3, -7], [-1, 1], [-2, x], [-3, y]]));
    const attested = Buffer.concat([
      new Uint8Array(16),
      Uint8Array.of(0, this.id.length),
      this.id,
      key,
    ]);
    const data = this.#data(options.rp.id, isVerified, attested);
    const attestation = cbor(
      new Map<string, CborValue>([["fmt", "none"], ["attStmt", new Map()], ["authData", data]]),
    );
    return this.#credential({
      clientDataJSON: clientData("webauthn.create", options.challenge, origin),
      attestationObject: Buffer.from(attestation).toString("base64url"),
    });
  }

  /** A browser's answer to options for a login. */
  login(options: RequestOptions, { origin, isVerified = true }: AuthenticatorOptions): unknown {
    this.counter++;
    const data = this.#data(options.rpId, isVerified);
    const client = clientData("webauthn.get", options.challenge, origin);
    const hash = createHash("sha256").update(Buffer.from(client, "base64url")).digest();
    const signature = createSign("sha256").update(data).update(hash).sign(this.#key);
    return this.#credential({
      clientDataJSON: client,
      authenticatorData: data.toString("base64url"),
      signature: signature.toString("base64url"),
    });
  }

  #data(rpId: string, isVerified: boolean, attested: Uint8Array = new Uint8Array()): Buffer {
    const flags = USER_PRESENT | (isVerified ? USER_VERIFIED : 0) |
      (attested.length > 0 ? ATTESTED : 0);
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(this.counter);
    const hash = createHash("sha256").update(rpId).digest();
    return Buffer.concat([hash, Uint8Array.of(flags), counter, attested]);
  }

  #credential(response: Readonly<Record<string, string>>): unknown {
    const id = this.id.toString("base64url");
    return { id, rawId: id, type: "public-key", clientExtensionResults: {}, response };
  }
}

function clientData(type: string, challenge: string, origin: string): string {
  return Buffer.from(JSON.stringify({ type, challenge, origin })).toString("base64url");
}

/** RFC 8949, of what is needed. */
function cbor(value: CborValue): Uint8Array {
  if (typeof value === "number") {
    return value >= 0 ? cborHead(0, value) : cborHead(1, -1 - value);
  }
  if (typeof value === "string") {
    const text = new TextEncoder().encode(value);
    return Buffer.concat([cborHead(3, text.length), text]);
  }
  if (value instanceof Uint8Array) return Buffer.concat([cborHead(2, value.length), value]);
  const entries = Array.from(value, ([key, each]) => Buffer.concat([cbor(key), cbor(each)]));
  return Buffer.concat([cborHead(5, value.size), ...entries]);
}

function cborHead(major: number, length: number): Uint8Array {
  if (length < 24) return Uint8Array.of(major << 5 | length);
  if (length < 256) return Uint8Array.of(major << 5 | 24, length);
  return Uint8Array.of(major << 5 | 25, length >> 8, length & 255);
}
