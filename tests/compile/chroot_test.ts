/**
 * Tests of the built executable alone: in a root directory that has the C library, a shell and the tools that unpack
 * it, and nothing else.
 */
import { assertMatch } from "../support/assert.ts";
import { netTest, run } from "../support/net.ts";

const EXECUTABLE = new URL("../../dist/vpn", import.meta.url).pathname;
/** What the head of a self-extracting executable calls. */
const TOOLS = [
  ...["sh", "tail", "sha256sum", "tar", "gzip", "mkdir", "mktemp", "mv", "rm", "find", "chmod"],
  ...["id", "ls", "cat"],
];
/** Of the C library and the compiler, what Deno is linked to. */
const LIBRARIES = ["libc", "libm", "libdl", "libpthread", "librt", "libgcc_s"];

/**
 * Makes the root in a mount namespace of its own, which takes it away again when it ends, and becomes the demo in it.
 * Arguments: the executable, the tools, the libraries.
 */
const SCRIPT = `
root=/run/vpn-tests
mkdir -p "$root" && mount -t tmpfs -o mode=755 tmpfs "$root" && cd "$root"
mkdir -p bin dev/net empty etc lib64 proc run sys tmp var/cache
with_libraries() {
  ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p ".\${library%/*}" && cp -L "$library" ".$library"
  done
}
for tool in $2; do
  path=$(readlink -f "$(command -v "$tool")")
  cp "$path" "bin/$tool"
  with_libraries "$path"
done
folder=$(dirname "$(ldd bin/tar | grep -o '/[^ ]*/libc.so.6')")
for library in $3; do
  for path in "$folder/$library".so.*; do [ ! -e "$path" ] || cp -L "$path" ".$folder"; done
done
mount -t proc proc proc && mount -t sysfs sysfs sys
for device in null zero random urandom net/tun; do
  touch "dev/$device" && mount --bind "/dev/$device" "dev/$device"
done
cp "$1" empty/vpn
exec env -i PATH=/bin /usr/sbin/chroot . /bin/sh -c 'cd /empty && exec ./vpn demo'`;

const built = await Deno.stat(EXECUTABLE).then(() => true, () => false);

netTest(
  "vpn demo passes where there is the executable alone, with libc and a shell",
  async () => {
    const { code, stdout, stderr } = await run(null, [
      ...["unshare", "--mount", "--propagation", "private", "sh", "-ec", SCRIPT, "sh"],
      ...[EXECUTABLE, TOOLS.join(" "), LIBRARIES.join(" ")],
    ]);
    assertMatch(stdout, /^\d+ passed, 0 failed$/m, `${code}: ${stdout}${stderr}`);
  },
  {
    programs: ["unshare", "mount", "ldd", "chroot"],
    trouble: built ? null : "dist/vpn is not built, ./compile.sh does it",
  },
);
