/** Owns the checks of what keeps clients' packets from a gateway: its port in use, and the firewalls of others. */
import { NF_INET_FORWARD, NF_INET_LOCAL_IN } from "../../../ffi/netlink/nftables.ts";
import { readSysctl } from "../host_change.ts";
import { listenerOn } from "../port_safety.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import { type DroppingChain, droppingChains, outputChains } from "./firewall.ts";
import { isWritable } from "./route_checks.ts";
import type { Subject } from "./subject.ts";

const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

export const FIREWALL_CHECKS: readonly Check[] = [
  { name: "listen-port", look: checkListenPort },
  { name: "input-firewall", look: checkInputFirewall },
  { name: "forwarding", look: checkForwarding },
  { name: "forward-firewall", look: checkForwardFirewall },
  { name: "output-firewall", look: checkOutputFirewall },
];

function checkListenPort(subject: Subject): Verdict[] {
  const { config, instance } = subject;
  const port = config?.listenPort ?? 0;
  if (port === 0) return [];
  const listener = listenerOn("udp", port);
  if (listener === null) return [ok(`UDP port ${port} is free`)];
  if (instance?.isOurs && listener.endsWith(`(process ${instance.pid})`)) {
    return [ok(`UDP port ${port} is open: ${listener} listens`)];
  }
  return [fail(
    `UDP port ${port} is in use: ${listener} listens on it`,
    `end that, or choose another ListenPort (${
      subject.place("ListenPort")
    }) and give clients the new Endpoint`,
  )];
}

async function checkInputFirewall(subject: Subject): Promise<Verdict[]> {
  const { server } = subject;
  if (server === null) return [];
  const { listenPort: port } = server;
  const shut = (await droppingChains(NF_INET_LOCAL_IN)).filter(({ accepts }) => !accepts({ port }));
  if (shut.length === 0) return [ok(`this host's firewall lets UDP port ${port} in`)];
  return shut.map((chain) =>
    warn(
      `the firewall (${chain.title}) drops by default, and no rule of its own for UDP port ${port} was seen`,
      insertion(subject, chain, {
        nft: `udp dport ${port}`,
        iptables: `-p udp --dport ${port}`,
      }),
    )
  );
}

/** `Egress = kernel`: the host forwards, if it may. */
function checkForwarding({ server, instance }: Subject): Verdict[] {
  if (server?.interface.egress !== "kernel") return [];
  if (readSysctl(IP_FORWARD) === "1") return [ok("ip_forward is 1: the kernel forwards")];
  if (instance?.isOurs !== true && isWritable(IP_FORWARD)) {
    return [ok("ip_forward is 0, and is set to 1 while the gateway runs")];
  }
  return [fail(
    "Egress = kernel, but ip_forward is 0: the kernel forwards nothing",
    "`sysctl -w net.ipv4.ip_forward=1` on the host (a container: start it with `--sysctl net.ipv4.ip_forward=1`), " +
      "or Egress = raw, which needs no forwarding",
  )];
}

/** Docker's policy, for one: it drops what it did not ask to be forwarded. */
async function checkForwardFirewall(subject: Subject): Promise<Verdict[]> {
  const { server, options: { interfaceName: device } } = subject;
  if (server?.interface.egress !== "kernel") return [];
  const shut = (await droppingChains(NF_INET_FORWARD)).filter(({ accepts }) =>
    !accepts({ device })
  );
  if (shut.length === 0) return [ok("no firewall keeps the kernel from forwarding")];
  return shut.map((chain) =>
    fail(
      `Egress = kernel, but the firewall (${chain.title}) drops what is forwarded, and no rule lets ${device} through`,
      `${
        insertion(subject, chain, { nft: `iifname "${device}"`, iptables: `-i ${device}` })
      } and ` +
        `${insertion(subject, chain, { nft: `oifname "${device}"`, iptables: `-o ${device}` })}, ` +
        "or Egress = raw, which needs no forwarding",
    )
  );
}

/**
 * `Egress = raw`: once the NAT knows the next hop, packets leave by a packet socket, past the host's IP layer. Only the first
 * ones to a neighbour meet what the firewall says of packets that this host sends.
 */
async function checkOutputFirewall(subject: Subject): Promise<Verdict[]> {
  if (subject.server?.interface.egress !== "raw") return [];
  const chains = await outputChains();
  if (chains.length === 0) return [ok("no rule of this host's firewall is passed by")];
  return [warn(
    `rules that drop what this host sends (${
      chains.join("; ")
    }) have no effect on packets of clients: ` +
      "the NAT sends those by a packet socket, which passes no such chain",
    `name what clients may not reach in EgressDeny (${subject.place("EgressDeny")}), ` +
      "or start the gateway with --no-offload, and every packet passes them",
  )];
}

/** The command that puts a rule in front which lets something through. */
function insertion(
  subject: Subject,
  chain: DroppingChain,
  match: { readonly nft: string; readonly iptables: string },
): string {
  if (chain.insert === "nft") {
    return subject.command(`nft insert rule ${chain.table} ${chain.chain} ${match.nft} accept`);
  }
  const target = chain.chain === "FORWARD" && chain.hasDockerUser ? "DOCKER-USER" : chain.chain;
  return subject.command(`${chain.insert} -I ${target} ${match.iptables} -j ACCEPT`);
}
