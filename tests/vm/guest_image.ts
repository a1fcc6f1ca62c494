/**
 * Image of a guest: its kernel, and a root file system of Debian's packages, our executable and the tests, as an
 * initramfs.
 */
import { output } from "../support/process.ts";
import type { GuestPackages } from "./debian_archive.ts";

const TESTS = new URL("./guest.sh", import.meta.url).pathname;
const PROJECT = new URL("../../", import.meta.url).pathname;

/** Folders and modules below `kernel/` that are taken along; what they need comes with them. */
const MODULES = [
  "net",
  "crypto",
  "lib",
  "arch",
  "drivers/net/tun",
  "drivers/net/veth",
  "drivers/net/dummy",
  "drivers/net/wireguard",
];
/** What the guest has no use for. */
const LEFT_OUT = ["doc", "man", "locale", "info"].map((name) => `--exclude=./usr/share/${name}`);

export interface GuestImage {
  readonly kernel: string;
  readonly initramfs: string;
}

/**
 * Makes the files that the emulator starts from.
 *
 * @param folder to make them in, which is not there yet
 * @param executable our program, made for the guest's machine
 */
export async function makeImage(
  folder: string,
  packages: GuestPackages,
  executable: string,
): Promise<GuestImage> {
  const root = `${folder}/root`;
  for (const path of packages.root) await unpack(path, root, LEFT_OUT);
  const kernel = `${folder}/kernel`;
  await unpack(packages.kernel, kernel, ["--exclude=./usr/share"]);
  const release = Array.from(Deno.readDirSync(`${kernel}/boot`), ({ name }) => name)
    .find((name) => name.startsWith("vmlinuz-"))!.slice("vmlinuz-".length);
  await putModules(kernel, release, root);
  Deno.mkdirSync(`${root}/usr/local/bin`, { recursive: true });
  Deno.copyFileSync(executable, `${root}/usr/local/bin/vpn`);
  Deno.copyFileSync(TESTS, `${root}/init`);
  for (const path of ["usr/local/bin/vpn", "init"]) Deno.chmodSync(`${root}/${path}`, 0o755);
  await putSystemCallTests(`${root}/opt/project`);
  const initramfs = `${folder}/initramfs`;
  await shell(
    'cd "$1" && find . | nice -n 19 cpio --quiet -o -H newc -R 0:0 >"$2"',
    root,
    initramfs,
  );
  return { kernel: `${kernel}/boot/vmlinuz-${release}`, initramfs };
}

/**
 * Unpacks a package into a folder where, as in Debian, what was once in `/bin` and its like is below `/usr`: packages
 * of each release have some of it in either place.
 */
async function unpack(path: string, folder: string, options: readonly string[]): Promise<void> {
  await shell(
    `package=$1 folder=$2; shift 2
    for name in bin sbin lib lib64; do
      mkdir -p "$folder/usr/$name"
      [ -h "$folder/$name" ] || ln -s "usr/$name" "$folder/$name"
    done
    nice -n 19 dpkg-deb --fsys-tarfile "$package" |
      nice -n 19 tar -x --keep-directory-symlink --no-same-owner -C "$folder" "$@"`,
    path,
    folder,
    ...options,
  );
}

/** Puts the modules that are wanted, uncompressed as busybox wants them, with the table by which they are found. */
async function putModules(kernel: string, release: string, root: string): Promise<void> {
  const source = `${kernel}/usr/lib/modules/${release}`;
  const target = `${root}/usr/lib/modules/${release}`;
  Deno.mkdirSync(target, { recursive: true });
  await shell(
    `source=$1 target=$2 root=$3 release=$4; shift 4
    cd "$source"
    for name in "$@"; do
      for path in "kernel/$name" "kernel/$name.ko" "kernel/$name.ko.xz"; do
        if [ -e "$path" ]; then printf '%s\\n' "$path"; fi
      done
    done | tar -c -T - modules.order modules.builtin modules.builtin.modinfo | tar -x -C "$target"
    find "$target" -name '*.xz' -exec nice -n 19 xz -d {} +
    nice -n 19 depmod -b "$root" "$release"`,
    source,
    target,
    root,
    release,
    ...MODULES,
  );
}

/**
 * Puts the tests of the system calls, without the npm packages that they are written with, at the place where they find
 * the files that they read.
 */
async function putSystemCallTests(project: string): Promise<void> {
  await shell(
    `mkdir -p "$2/tests/unit/ffi" "$2/tests/support/ffi"
    cd "$1"
    cp -R ffi "$2"
    cp -R tests/vectors "$2/tests"
    cp tests/support/ffi/*_worker.ts "$2/tests/support/ffi"
    nice -n 19 "$3" bundle --quiet --platform deno -o "$2/tests/unit/ffi/system_calls.js" tests/vm/system_calls.ts`,
    PROJECT,
    project,
    Deno.execPath(),
  );
}

async function shell(script: string, ...args: readonly string[]): Promise<void> {
  await output(null, ["bash", "-euo", "pipefail", "-c", script, "bash", ...args]);
}
