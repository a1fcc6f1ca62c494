/**
 * Run-time folders of its own for a program: what our processes and `ip netns` tell each other by is not the machine's.
 */

/** Whatever a process of ours finds another in; temporary files are in the last. */
export const RUN_TIME_FOLDERS: readonly string[] = [
  "/run/netns",
  "/etc/netns",
  "/run/vpn",
  "/run/vpn-console",
  "/run/wireguard",
  "/run/vpn-tests",
];

const SCRIPT = `
for folder in ${RUN_TIME_FOLDERS.join(" ")}; do
  mkdir -p $folder && mount -t tmpfs -o mode=755 tmpfs $folder
done
TMPDIR=${RUN_TIME_FOLDERS.at(-1)} exec "$@"`;

/** The command that runs `command` with such folders; needs root. */
export function apart(command: readonly string[]): string[] {
  const options = ["--mount", "--propagation", "private"];
  return ["unshare", ...options, "sh", "-ec", SCRIPT, "sh", ...command];
}
