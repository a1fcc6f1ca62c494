/** Over fields: what a provider that ciphers packets alone has of the one that does handshake fields. */
import type { FieldCipher } from "./packet_trial.ts";

/** The methods are those of `AeadProvider` in lib/core/noise/aead.ts. */
export class OverFields {
  readonly name: string;
  readonly #fields: FieldCipher;

  constructor(name: string, fields: FieldCipher) {
    this.name = name;
    this.#fields = fields;
  }

  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array {
    return this.#fields.seal(key, nonce, associatedData, plaintext);
  }

  open(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | null {
    return this.#fields.open(key, nonce, associatedData, ciphertext);
  }
}
