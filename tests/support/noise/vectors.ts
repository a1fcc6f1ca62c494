/**
 * Vectors: reads those in tests/vectors: Wycheproof's (https://github.com/C2SP/wycheproof, schemas aead_test_schema_v1
 * and xdh_comp_schema_v1) and Noise's. All byte strings in them are hexadecimal.
 */

/** One case of an AEAD. */
export interface AeadCase {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly associatedData: Uint8Array;
  readonly plaintext: Uint8Array;
  /** Ciphertext and tag. */
  readonly sealed: Uint8Array;
  readonly result: "valid" | "invalid" | "acceptable";
}

/** One case of a Diffie-Hellman function. */
export interface DhCase {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly secret: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly shared: Uint8Array;
  readonly result: "valid" | "invalid" | "acceptable";
}

/** The vector of a Noise handshake and the transport messages behind it. */
export interface NoiseVector {
  readonly protocol_name: string;
  readonly init_prologue: string;
  readonly init_psks: readonly string[];
  readonly init_static: string;
  readonly init_ephemeral: string;
  readonly init_remote_static: string;
  readonly resp_prologue: string;
  readonly resp_psks: readonly string[];
  readonly resp_static: string;
  readonly resp_ephemeral: string;
  readonly handshake_hash: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

interface WycheproofFile {
  readonly numberOfTests: number;
  readonly testGroups: readonly { readonly tests: readonly Record<string, unknown>[] }[];
}

export function aeadCases(file: string): AeadCase[] {
  return wycheproofTests(file).map((test) => ({
    tcId: test["tcId"] as number,
    comment: test["comment"] as string,
    flags: test["flags"] as string[],
    key: hexField(test, "key"),
    nonce: hexField(test, "iv"),
    associatedData: hexField(test, "aad"),
    plaintext: hexField(test, "msg"),
    sealed: concat(hexField(test, "ct"), hexField(test, "tag")),
    result: test["result"] as AeadCase["result"],
  }));
}

export function dhCases(file: string): DhCase[] {
  return wycheproofTests(file).map((test) => ({
    tcId: test["tcId"] as number,
    comment: test["comment"] as string,
    flags: test["flags"] as string[],
    secret: hexField(test, "private"),
    publicKey: hexField(test, "public"),
    shared: hexField(test, "shared"),
    result: test["result"] as DhCase["result"],
  }));
}

/** The one vector of tests/vectors/noise_ikpsk2.json. */
export function noiseVector(): NoiseVector {
  const file = readJson("noise_ikpsk2.json") as { vectors: NoiseVector[] };
  return file.vectors[0]!;
}

export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(text);
}

export function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** How often each key occurs. */
export function tally(keys: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}

function wycheproofTests(name: string): Record<string, unknown>[] {
  const file = readJson(name) as WycheproofFile;
  return file.testGroups.flatMap((group) => group.tests);
}

function hexField(test: Record<string, unknown>, field: string): Uint8Array {
  return fromHex(test[field] as string);
}

function readJson(name: string): unknown {
  return JSON.parse(Deno.readTextFileSync(new URL(`../../vectors/${name}`, import.meta.url)));
}
