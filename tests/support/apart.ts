/**
 * Run-time folders of its own for a program: what our processes and `ip netns` tell each other by is not the machine's.
 */

const SCRIPT = `
for folder in /run/netns /etc/netns /run/vpn /run/wireguard /run/vpn-tests; do
  mkdir -p $folder && mount -t tmpfs -o mode=755 tmpfs $folder
done
TMPDIR=/run/vpn-tests exec "$@"`;

/** The command that runs `command` with such folders; needs root. */
export function apart(command: readonly string[]): string[] {
  const options = ["--mount", "--propagation", "private"];
  return ["unshare", ...options, "sh", "-ec", SCRIPT, "sh", ...command];
}
