/** Checks of what keeps packets from a tunnel: ports in use, and the firewalls of others. */
import { ConfigError } from "../../core/config/config_error.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { findExternalLink } from "../../host/network/egress_plan.ts";
import { listenerAt, listenerOn } from "../../host/network/port_safety.ts";
import { readSysctl } from "../../host/network/sysctl.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import { Firewall, type Obstacle } from "./firewall/firewall.ts";
import { CLIENT_PORT, SupposedPacket } from "./firewall/packet.ts";
import { FATES, type Opening, remedyFor } from "./firewall/remedy.ts";
import { isWritable } from "./route_checks.ts";
import type { Subject } from "./subject.ts";

const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";
const DNS_PORT = 53;
/** A service outside, for a packet that is forwarded. */
const WEB_PORT = 443;

export const FIREWALL_CHECKS: readonly Check[] = [
  { name: "listen-port", look: checkListenPort },
  { name: "dns-port", look: checkDnsPort },
  { name: "input-firewall", look: checkInputFirewall },
  { name: "dns-firewall", look: checkDnsFirewall },
  { name: "forwarding", look: checkForwarding },
  { name: "forward-firewall", look: checkForwardFirewall },
  { name: "output-firewall", look: checkOutputFirewall },
];

function checkListenPort(subject: Subject): Verdict[] {
  const { config, instance } = subject;
  const port = config?.listenPort ?? 0;
  if (port === 0) return [];
  const listener = listenerOn("udp", port);
  if (listener === null && instance?.isOurs) {
    return [fail(
      `${instance.title} runs, but nobody listens on UDP port ${port}`,
      `end it and start it again: it may have another ListenPort (${subject.place("ListenPort")})`,
    )];
  }
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

/** `DnsProxy` answers on the gateway's inner address, by both protocols. */
function checkDnsPort(subject: Subject): Verdict[] {
  const { instance } = subject;
  const address = proxyAddress(subject);
  if (address === null) return [];
  const place = subject.place("DnsProxy");
  const at = `port ${DNS_PORT} of ${formatIpv4(address)}`;
  for (const protocol of ["udp", "tcp"] as const) {
    const listener = listenerAt(protocol, { address, port: DNS_PORT });
    const isOwn = instance?.isOurs === true && listener?.endsWith(`(process ${instance.pid})`);
    if (listener === null && instance?.isOurs) {
      return [fail(
        `DnsProxy (${place}): ${instance.title} runs, but nobody answers at ${protocol} ${at}`,
        "end the gateway and start it again with this configuration",
      )];
    }
    if (listener === null || isOwn) continue;
    return [fail(
      `DnsProxy (${place}) needs ${protocol} ${at}, but ${listener} listens there`,
      `keep that program from the address (dnsmasq: \`bind-dynamic\` and \`except-interface=${subject.options.interfaceName}\`; ` +
        `others: name the addresses that they listen at), or take DnsProxy out (${place})`,
    )];
  }
  return [ok(`${at} is ${instance?.isOurs ? "answered by the gateway" : "free"} for DnsProxy`)];
}

/** Of a gateway: what clients send to its port. Of a client: what the server answers. */
async function checkInputFirewall(subject: Subject): Promise<Verdict[]> {
  const { server, client } = subject;
  const firewall = await Firewall.read();
  if (server !== null) {
    const { listenPort: port } = server;
    const external = externalOf(subject);
    const packet = new SupposedPacket({
      protocol: "udp",
      source: null,
      destination: external?.address ?? null,
      destinationPort: port,
      input: external?.name ?? null,
      output: null,
      isLocal: true,
    });
    return judge(subject, firewall, {
      obstacles: firewall.obstacles("in", packet),
      what: `what clients send to UDP port ${port}`,
      openings: [{ protocol: "udp", port, device: null }],
      good: `this host's firewall lets UDP port ${port} in`,
    });
  }
  if (client === null || client.interface.transport === "faketcp") return [];
  const { address, port } = client.server.endpoint;
  const packet = new SupposedPacket({
    protocol: "udp",
    source: address,
    destination: null,
    sourcePort: port,
    destinationPort: client.listenPort === 0 ? CLIENT_PORT : client.listenPort,
    input: null,
    output: null,
    isEstablished: true,
    isLocal: true,
  });
  return judge(subject, firewall, {
    obstacles: firewall.obstacles("in", packet),
    what: "the server's answers",
    openings: [{ protocol: "udp", sourcePort: port, device: null }],
    good: "this host's firewall lets the server's answers in",
  });
}

/** What clients ask the proxy comes in by the tunnel's interface, which most firewalls have no rule for. */
async function checkDnsFirewall(subject: Subject): Promise<Verdict[]> {
  const address = proxyAddress(subject);
  if (address === null) return [];
  const device = subject.options.interfaceName;
  const firewall = await Firewall.read();
  const packets = (["udp", "tcp"] as const).map((protocol) =>
    new SupposedPacket({
      protocol,
      source: null,
      destination: address,
      destinationPort: DNS_PORT,
      input: device,
      output: null,
      isLocal: true,
    })
  );
  return judge(subject, firewall, {
    obstacles: packets.flatMap((packet) => firewall.obstacles("in", packet)),
    what: `what clients ask DnsProxy at port ${DNS_PORT} by ${device}`,
    openings: (["udp", "tcp"] as const).map((protocol) => ({ protocol, port: DNS_PORT, device })),
    good: `this host's firewall lets clients ask DnsProxy by ${device}`,
  });
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

/** Docker's policy, for one, drops what it did not ask to be forwarded; others reject, or accept one way alone. */
async function checkForwardFirewall(subject: Subject): Promise<Verdict[]> {
  const { server, options: { interfaceName: device } } = subject;
  if (server?.interface.egress !== "kernel") return [];
  const firewall = await Firewall.read();
  const external = externalOf(subject)?.name ?? null;
  const forwarded = { protocol: "tcp", source: null, destination: null, isLocal: false } as const;
  const packets = [
    new SupposedPacket({
      ...forwarded,
      destinationPort: WEB_PORT,
      input: device,
      output: external,
    }),
    new SupposedPacket({
      ...forwarded,
      sourcePort: WEB_PORT,
      destinationPort: CLIENT_PORT,
      input: external,
      output: device,
      isEstablished: true,
    }),
  ];
  return judge(subject, firewall, {
    obstacles: packets.flatMap((packet) => firewall.obstacles("through", packet)),
    what: `what the kernel forwards for ${device} (Egress = kernel)`,
    openings: [{ through: device }],
    good: "no firewall keeps the kernel from forwarding",
    other: "or Egress = raw, which needs no forwarding",
  });
}

/**
 * `Egress = raw`: once the NAT knows the next hop, packets leave by a packet socket, past the host's IP layer. Only the first
 * ones to a neighbour meet what the firewall says of packets that this host sends.
 */
async function checkOutputFirewall(subject: Subject): Promise<Verdict[]> {
  if (subject.server?.interface.egress !== "raw") return [];
  const chains = (await Firewall.read()).refusingOutput();
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

/** Says of each chain that is in the way what it does, by which rule, and how it is opened. */
function judge(
  subject: Subject,
  firewall: Firewall,
  { obstacles, what, openings, good, other = "" }: {
    readonly obstacles: readonly Obstacle[];
    readonly what: string;
    readonly openings: readonly Opening[];
    readonly good: string;
    readonly other?: string;
  },
): Verdict[] {
  const verdicts = new Map<string, Verdict>();
  for (const obstacle of obstacles) {
    const { title, decision: { fate, by, exceptions } } = obstacle;
    if (verdicts.has(title)) continue;
    const remedy = [remedyFor(subject, obstacle, openings), other].filter(Boolean).join(", ");
    const rule = by.startsWith("the policy") ? `${by}, as no rule accepts it` : by;
    const [exception] = exceptions.filter((each) => each.fate === "accepted");
    verdicts.set(
      title,
      exception === undefined
        ? fail(`the firewall (${title}) ${FATES[fate]} ${what}: ${rule}`, remedy)
        : warn(
          `the firewall (${title}) ${
            FATES[fate]
          } ${what}: ${rule}; ${exception.by} accepts some, ` +
            "by what they have besides, such as where they come from",
          remedy,
        ),
    );
  }
  if (verdicts.size > 0) return [...verdicts.values()];
  if (firewall.unread.length > 0) {
    return [warn(
      `iptables' older half of the kernel has rules (${
        firewall.unread.join(", ")
      }) that cannot be read`,
      "install `iptables-legacy`, or run `vpn doctor` as root",
    )];
  }
  return [ok(good)];
}

/** The gateway's address that `DnsProxy` answers at; null for none. */
function proxyAddress({ server }: Subject): number | null {
  if (server === null || server.interface.dnsProxy.length === 0) return null;
  return server.interface.addresses[0]?.address ?? null;
}

/** How a gateway reaches outside; null where it does not: another check tells of that. */
function externalOf({ server, netlink }: Subject) {
  if (server === null) return null;
  try {
    return findExternalLink(server, netlink);
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}
