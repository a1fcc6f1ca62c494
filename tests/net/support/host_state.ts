/** Picture of a host's network that shows whether a program left anything behind. */
import { isInstalled, type TestNamespace } from "../../support/net.ts";

/** Everything about the network that this project changes and must change back. */
const COMMANDS: readonly (readonly string[])[] = [
  ["ip", "-details", "link"],
  ["ip", "address"],
  ["ip", "route", "show", "table", "all"],
  ["ip", "-6", "route", "show", "table", "all"],
  ["ip", "rule"],
  ["ip", "-6", "rule"],
  ["ip", "-6", "neighbour", "show", "proxy"],
  [
    ...["sysctl", "-n", "net.ipv4.conf.all.src_valid_mark", "net.ipv4.ip_forward"],
    ...["net.ipv4.ip_local_reserved_ports", "net.ipv6.conf.all.forwarding"],
    ...["net.ipv6.conf.default.forwarding", "net.ipv6.conf.default.accept_ra"],
  ],
  ["sh", "-c", "grep . /proc/sys/net/ipv[46]/conf/*/forwarding"],
];

/** Programs that a test with such a picture needs. */
export const HOST_STATE_PROGRAMS: readonly string[] = ["ip", "sysctl"];

/** A picture of the host's network, equal to a later one if nothing has changed. */
export async function hostState(namespace: TestNamespace): Promise<string> {
  const rules = isInstalled("nft") ? [["nft", "list", "ruleset"]] : [];
  const commands = [...COMMANDS, ...rules];
  const outputs = await Promise.all(commands.map((command) => namespace.output(command)));
  return [
    ...commands.map((command, index) => `$ ${command.join(" ")}\n${outputs[index]}`),
    namesOf(namespace),
  ].join("\n");
}

/** The namespace's own files, `resolv.conf` above all (ip-netns(8)). */
function namesOf(namespace: TestNamespace): string {
  const folder = `/etc/netns/${namespace.name}`;
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => `${folder}/${name}`)
      .map((path) => `$ cat ${path}\n${Deno.readTextFileSync(path)}`).join("\n") || folder;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `no ${folder}`;
    throw error;
  }
}

/**
 * Keeps the kernel from giving interfaces made from now on IPv6 addresses of their own: it does so seconds later, and
 * would make two pictures differ.
 */
export function withoutIpv6Autoconfiguration(namespace: TestNamespace): void {
  namespace.inside(() =>
    Deno.writeTextFileSync("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1")
  );
}
