/** Guests of `deno task test vm`: the machines that are emulated, each with a release of Debian and its kernel. */

export interface Guest {
  /** A release of Debian. */
  readonly suite: string;
  /** As Debian names it. */
  readonly architecture: "amd64" | "arm64";
  /** The package with the libcrypto of this release. */
  readonly libcrypto: string;
}

/** The other machine first: it is what nothing else here tries. */
export const GUESTS: readonly Guest[] = [
  { suite: "trixie", architecture: "arm64", libcrypto: "libssl3t64" },
  { suite: "trixie", architecture: "amd64", libcrypto: "libssl3t64" },
  { suite: "bookworm", architecture: "amd64", libcrypto: "libssl3" },
  { suite: "bullseye", architecture: "amd64", libcrypto: "libssl1.1" },
];

/** As in `trixie-arm64`. */
export function guestName({ suite, architecture }: Guest): string {
  return `${suite}-${architecture}`;
}

/** Packages of the guest's root file system; what they need comes with them. */
export function guestPackages({ libcrypto }: Guest): string[] {
  return ["busybox-static", "dash", "iproute2", "wireguard-tools", libcrypto];
}

/** How each machine is emulated: without KVM, which few test machines have. */
export const EMULATORS: Readonly<
  Record<
    Guest["architecture"],
    { readonly command: readonly string[]; readonly console: string; readonly target: string }
  >
> = {
  amd64: {
    // One thread for both processors: with two, QEMU 7.2 misses what one patches in the kernel's code for the other,
    // and Linux 6.12 ends with "Oops: int3".
    command: ["qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-accel", "tcg,thread=single"],
    console: "ttyS0",
    target: "x86_64-unknown-linux-gnu",
  },
  arm64: {
    // The processor of a Raspberry Pi 4.
    command: [
      "qemu-system-aarch64",
      "-M",
      "virt",
      "-cpu",
      "cortex-a72",
      "-accel",
      "tcg,thread=multi",
    ],
    console: "ttyAMA0",
    target: "aarch64-unknown-linux-gnu",
  },
};
