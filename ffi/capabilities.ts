/**
 * Capabilities: reads which ones a thread has, and drops for good those that it does not need.
 *
 * They are a property of the thread, not of the process. A thread takes over those of the thread that makes it, and so
 * does a child process, as far as its program and user are not given others (capabilities(7)).
 */
import { check } from "./errno.ts";
import { type Libc, openLibc } from "./libc.ts";

/** Numbers of capabilities (include/uapi/linux/capability.h). */
export const Capability = {
  /** Owner of any file. */
  chown: 0,
  /** Reading and writing any file. */
  dacOverride: 1,
  /** Reading any file. */
  dacReadSearch: 2,
  /** Modes of any file. */
  fowner: 3,
  setpcap: 8,
  /** Ports below 1024. */
  netBindService: 10,
  /** TUN devices, addresses, routes, rules, firewall, SO_MARK, and files under `/proc/sys/net`. */
  netAdmin: 12,
  /** Raw and packet sockets. */
  netRaw: 13,
  /** Namespaces and mounts. */
  sysAdmin: 21,
} as const;
export type Capability = (typeof Capability)[keyof typeof Capability];

// include/uapi/linux/prctl.h
const PR_CAPBSET_READ = 23;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;

const _LINUX_CAPABILITY_VERSION_3 = 0x20080522;
/** Words of `struct __user_cap_data_struct { __u32 effective, permitted, inheritable; } data[2]`. */
const DATA_WORDS = 6;
const PERMITTED = 1;
const INHERITABLE = 2;

/** Whether the calling thread has a capability in effect. */
export function hasCapability(capability: Capability): boolean {
  const data = readSets(openLibc());
  return (data[wordOf(capability)]! >>> (capability & 31) & 1) === 1;
}

/**
 * Gives up, for the calling thread and all that it starts from now on, every capability but those in `kept`, and what
 * setuid programs would grant (`no_new_privs`). There is no way back.
 *
 * @throws {SystemCallError} never for want of privilege: less is always allowed
 */
export function keepOnly(kept: readonly Capability[]): void {
  const libc = openLibc();
  check(libc, prctl(libc, PR_SET_NO_NEW_PRIVS, 1), "set no_new_privs");
  if (hasCapability(Capability.setpcap)) dropFromBounds(libc, kept);
  // Fails on kernels before 4.3 alone, which have no ambient set.
  prctl(libc, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  const data = readSets(libc);
  const mask = new Uint32Array(2);
  for (const capability of kept) mask[capability >>> 5]! |= 1 << (capability & 31);
  for (let half = 0; half < 2; half++) {
    const start = half * DATA_WORDS / 2;
    data[start]! = data[start + PERMITTED]! &= mask[half]!;
    data[start + INHERITABLE] = 0;
  }
  check(libc, libc.symbols.capset(header(), data), "drop capabilities");
}

/** The bounding set: what a program that root runs could gain again. */
function dropFromBounds(libc: Libc, kept: readonly Capability[]): void {
  const keptNumbers = new Set<number>(kept);
  for (let number = 0; prctl(libc, PR_CAPBSET_READ, number) >= 0; number++) {
    if (keptNumbers.has(number)) continue;
    check(libc, prctl(libc, PR_CAPBSET_DROP, number), `drop capability ${number}`);
  }
}

/** What is not used must be 0. */
function prctl(libc: Libc, operation: number, argument: number): number {
  return libc.symbols.prctl(operation, BigInt(argument), 0n, 0n, 0n);
}

function readSets(libc: Libc): Uint32Array<ArrayBuffer> {
  const data = new Uint32Array(DATA_WORDS);
  check(libc, libc.symbols.capget(header(), data), "read capabilities");
  return data;
}

/** `struct __user_cap_header_struct { __u32 version; int pid; }`; process id 0 is the calling thread. */
function header(): Uint32Array<ArrayBuffer> {
  return Uint32Array.of(_LINUX_CAPABILITY_VERSION_3, 0);
}

/** Where the word with a capability's bit in the effective set stands. */
function wordOf(capability: Capability): number {
  return (capability >>> 5) * DATA_WORDS / 2;
}
