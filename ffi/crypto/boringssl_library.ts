/**
 * BoringSSL library: the calls into Google's libcrypto that do ChaCha20-Poly1305, as its `openssl/aead.h` has them.
 *
 * It takes the cipher and the sum in one pass and a packet in one call, with the tag where WireGuard has it: for 1,420
 * bytes two thirds of the time of OpenSSL's libcrypto on a processor with AVX2, for 64 bytes half of it.
 *
 * Its lengths are `size_t`, which Deno takes 200 ns for as a number; as pointers they cost nothing (see libc.ts), and
 * a register or a place on the stack is filled as far as the function reads it.
 */
import { openDynamicLibrary } from "../dynamic_library.ts";
import { keepLoaded } from "../linker.ts";
import { MACHINE } from "../machine.ts";

/** Of ten arguments, lengths among them. */
const PACKET_CALL = {
  parameters: [
    "pointer",
    "pointer",
    "pointer",
    "pointer",
    "pointer",
    "pointer",
    "pointer",
    "pointer",
    "pointer",
    "pointer",
  ],
  result: "i32",
} as const;

const SYMBOLS = {
  /** `const EVP_AEAD *EVP_aead_chacha20_poly1305(void)` */
  EVP_aead_chacha20_poly1305: { parameters: [], result: "pointer" },
  /**
   * `EVP_AEAD_CTX *EVP_AEAD_CTX_new(const EVP_AEAD *aead, const uint8_t *key, size_t key_len, size_t tag_len)`; null
   * where it has no memory
   */
  EVP_AEAD_CTX_new: { parameters: ["pointer", "buffer", "usize", "usize"], result: "pointer" },
  /** `void EVP_AEAD_CTX_free(EVP_AEAD_CTX *ctx)`; wipes the key */
  EVP_AEAD_CTX_free: { parameters: ["pointer"], result: "void" },
  /**
   * `int EVP_AEAD_CTX_seal(const EVP_AEAD_CTX *ctx, uint8_t *out, size_t *out_len, size_t max_out_len, const uint8_t
   * *nonce, size_t nonce_len, const uint8_t *in, size_t in_len, const uint8_t *ad, size_t ad_len)`; where it fails,
   * `max_out_len` bytes are zeros
   */
  EVP_AEAD_CTX_seal: PACKET_CALL,
  /** `int EVP_AEAD_CTX_open(...)`: as above; `in` ends with the tag */
  EVP_AEAD_CTX_open: PACKET_CALL,
} as const satisfies Deno.ForeignLibraryInterface;

export type BoringsslSymbols = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;
export type BoringsslLibrary = Deno.DynamicLibrary<typeof SYMBOLS>;

/** That of the executable, which compile.sh has put beside the bundled program. */
const OWN_BORINGSSL = `${import.meta.dirname}/libboringssl.so`;
/**
 * The host's, where Debian has it: its part of the Android SDK. `Aead = auto` leaves it alone, as it comes to hosts as
 * a part of `adb`, and Debian does not mean it for others.
 */
export const HOST_BORINGSSL: string = `/usr/lib/${MACHINE.libraries}/android/libcrypto.so.0`;

/**
 * Where the library is looked for.
 *
 * @param aead as configured; none with another library's name
 */
export function boringsslNames(aead: string): readonly string[] {
  if (aead === "auto") return [OWN_BORINGSSL];
  return aead === "boringssl" ? [OWN_BORINGSSL, HOST_BORINGSSL] : [];
}

export interface FoundBoringssl {
  /** Of its file, and whose it is where that might be OpenSSL's as well. */
  readonly name: string;
  readonly library: BoringsslLibrary;
}

/**
 * Loads the library for this thread.
 *
 * It stays loaded for good: a thread that it has reported an error in calls it at its end, to free what it holds.
 *
 * @param name file name or path
 * @returns null where there is none, or it lacks a function
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function loadBoringssl(name: string): FoundBoringssl | null {
  const library = openDynamicLibrary(name, SYMBOLS);
  if (library === null) return null;
  if (keepLoaded(library.symbols.EVP_aead_chacha20_poly1305()) !== null) {
    return { name: titleOf(name), library };
  }
  library.close();
  return null;
}

function titleOf(path: string): string {
  const file = path.slice(path.lastIndexOf("/") + 1);
  return file.startsWith("libcrypto.") ? `${file} (BoringSSL)` : file;
}
