/**
 * What the kernel's binary interface has otherwise on one machine than on another, and where its libraries are: of all
 * that is called here, these alone differ between x86-64 and arm64. Error numbers, socket options, ioctls, message
 * headers and netlink are the same on both.
 */

/** A machine as `Deno.build.arch` names it. */
export type Architecture = typeof Deno.build.arch;

export interface Machine {
  /** `open(2)` flags (include/uapi/asm-generic/fcntl.h; arch/arm64/include/uapi/asm/fcntl.h). */
  readonly O_DIRECTORY: number;
  readonly O_NOFOLLOW: number;
  /** The number of `bpf(2)`, for which libc has no function (arch/x86/entry/syscalls; asm-generic/unistd.h). */
  readonly NR_BPF: number;
  /**
   * `struct epoll_event { uint32_t events; uint64_t data; }`: packed on x86-64 alone (`EPOLL_PACKED` in
   * include/uapi/linux/eventpoll.h).
   */
  readonly epollEvent: {
    readonly size: number;
    /** `offsetof` the data. */
    readonly data: number;
  };
  /** Debian's folder of its libraries below /usr/lib (the multiarch tuple). */
  readonly libraries: string;
}

/** With the flags of another machine, symbolic links would be followed that must not be, and nothing would say so. */
export function machineOf(architecture: Architecture): Machine {
  switch (architecture) {
    case "x86_64":
      return {
        O_DIRECTORY: 0o200000,
        O_NOFOLLOW: 0o400000,
        NR_BPF: 321,
        epollEvent: { size: 12, data: 4 },
        libraries: "x86_64-linux-gnu",
      };
    case "aarch64":
      return {
        O_DIRECTORY: 0o40000,
        O_NOFOLLOW: 0o100000,
        NR_BPF: 280,
        epollEvent: { size: 16, data: 8 },
        libraries: "aarch64-linux-gnu",
      };
  }
}

/** The one that this runs on. */
export const MACHINE: Machine = machineOf(Deno.build.arch);
