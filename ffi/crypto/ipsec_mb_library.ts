/**
 * IPsec-MB library: the calls into Intel's "Multi-Buffer Crypto for IPsec" (1.3 and later, 2.x), as its header has
 * them, and which of its implementations it has chosen for this processor.
 *
 * It does many packets in one call, and with AVX-512 and IFMA ChaCha20-Poly1305 takes it half of libcrypto's time. On
 * other processors it is the slower of the two, so no other of its implementations is used here.
 */
import { openDynamicLibrary } from "../dynamic_library.ts";
import { keepLoaded } from "../linker.ts";

const SYMBOLS = {
  /** `unsigned imb_get_version(void)`: 0x10300 is 1.3.0 */
  imb_get_version: { parameters: [], result: "u32" },
  /** `size_t imb_get_mb_mgr_size(void)` */
  imb_get_mb_mgr_size: { parameters: [], result: "usize" },
  /** `IMB_MGR *alloc_mb_mgr(uint64_t flags)` */
  alloc_mb_mgr: { parameters: ["u64"], result: "pointer" },
  /** `void init_mb_mgr_auto(IMB_MGR *state, IMB_ARCH *arch)`; tries itself out, and says by its errno if it fails */
  init_mb_mgr_auto: { parameters: ["pointer", "pointer"], result: "void" },
  /** `void free_mb_mgr(IMB_MGR *state)` */
  free_mb_mgr: { parameters: ["pointer"], result: "void" },
  /** `int imb_get_errno(IMB_MGR *mb_mgr)` */
  imb_get_errno: { parameters: ["pointer"], result: "i32" },
  /** `uint32_t imb_set_session(IMB_MGR *state, IMB_JOB *job)`: once for each job, by the kind of it; since 2.0 */
  imb_set_session: { parameters: ["pointer", "pointer"], result: "u32", optional: true },
  /** `uint32_t IMB_GET_NEXT_BURST(IMB_MGR *state, uint32_t n_jobs, IMB_JOB **jobs)`, of AVX-512 with IFMA */
  get_next_burst_avx512_t2: { parameters: ["pointer", "i32", "pointer"], result: "i32" },
  /** `uint32_t IMB_SUBMIT_BURST_NOCHECK(IMB_MGR *state, uint32_t n_jobs, IMB_JOB **jobs)`, of the same */
  submit_burst_nocheck_avx512_t2: { parameters: ["pointer", "i32", "pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

export type IpsecMbLibrary = Deno.DynamicLibrary<typeof SYMBOLS>;

/** That of the executable, which compile.sh has put beside the bundled program, then the host's. */
export const IPSEC_MB_NAMES: readonly string[] = [
  `${import.meta.dirname}/libIPSec_MB.so`,
  "libIPSec_MB.so.2",
  "libIPSec_MB.so.1",
];

/** `struct IMB_JOB` and the head of `struct IMB_MGR` are in all of these as they are here. */
const FIRST_VERSION = 0x1_03_00;
const LAST_VERSION = 0x2_ff_ff;

/** What a manager's macros call where AVX-512 with IFMA is chosen, and at which offset in `struct IMB_MGR`. */
const CHOSEN = [
  { symbol: "get_next_burst_avx512_t2", offset: 952 },
  { symbol: "submit_burst_nocheck_avx512_t2", offset: 968 },
] as const;

export interface FoundIpsecMb {
  /** Of its file. */
  readonly name: string;
  readonly library: IpsecMbLibrary;
}

/**
 * Loads the library for this thread.
 *
 * @param names file names or paths, the first that works is taken
 * @returns null where there is none, it is of another version, or has chosen another implementation for this processor
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 */
export function loadIpsecMb(names: readonly string[] = IPSEC_MB_NAMES): FoundIpsecMb | null {
  for (const name of names) {
    const library = openDynamicLibrary(name, SYMBOLS);
    if (library === null) continue;
    if (isUsable(library)) return { name: name.slice(name.lastIndexOf("/") + 1), library };
    library.close();
  }
  return null;
}

function isUsable({ symbols }: IpsecMbLibrary): boolean {
  const version = symbols.imb_get_version();
  if (version < FIRST_VERSION || version > LAST_VERSION) return false;
  const manager = newManager(symbols);
  if (manager === null) return false;
  const isChosen = callsChosen(new Deno.UnsafePointerView(manager));
  symbols.free_mb_mgr(manager);
  return isChosen;
}

/** A manager, which one thread uses for itself; null where the library has no memory, or fails its own test. */
export function newManager(symbols: IpsecMbLibrary["symbols"]): Deno.PointerObject | null {
  const manager = symbols.alloc_mb_mgr(0n);
  if (manager === null) return null;
  symbols.init_mb_mgr_auto(manager, null);
  if (symbols.imb_get_errno(manager) === 0) return manager;
  symbols.free_mb_mgr(manager);
  return null;
}

/**
 * Whether the functions that are called here are those that a manager calls: its macros take a function by pointer,
 * which costs Deno 1 us in place of 10 ns, and which implementation it is, no function tells.
 */
function callsChosen(manager: Deno.UnsafePointerView): boolean {
  const found = keepLoaded(
    manager.getPointer(CHOSEN[0].offset),
    CHOSEN.map(({ symbol }) => symbol),
  );
  return found !== null && CHOSEN.every(({ offset }, index) => {
    const pointer = found[index]!;
    return pointer !== null && Deno.UnsafePointer.equals(pointer, manager.getPointer(offset));
  });
}
