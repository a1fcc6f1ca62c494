/** Checks of the firewalls of others: what keeps packets from a tunnel, or from going through it. */
import type { ServerConfig } from "../../core/config/config.ts";
import { egress6Of, isNat66 } from "../../core/config/egress6.ts";
import { isIpv6 } from "../../core/wire/host_address.ts";
import { EGRESS_MARK } from "../../dataplane/egress/egress.ts";
import { type ExternalLink6, findExternalLink6 } from "../../host/network/egress_plan6.ts";
import { readSysctl } from "../../host/network/sysctl.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import type { Firewall } from "./firewall/firewall.ts";
import { FATES, type Opening, remedyFor } from "./firewall/remedy.ts";
import {
  DNS_PORT,
  externalOf,
  forPorts,
  forwarded,
  fromGateway,
  proxyAddress,
  questions,
  throughTunnel,
  toGateway,
  type Travelling,
  WEB_PORT,
  withServer,
} from "./firewall_packets.ts";
import { hasNftables } from "./nftables_presence.ts";
import { isWritable } from "./route_checks.ts";
import type { Subject } from "./subject.ts";

const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

export const FIREWALL_CHECKS: readonly Check[] = [
  { name: "input-firewall", look: checkInputFirewall },
  { name: "answer-firewall", look: checkAnswerFirewall },
  { name: "tunnel-firewall", look: checkTunnelFirewall },
  { name: "dns-firewall", look: checkDnsFirewall },
  { name: "forwarding", look: (subject) => checkForwarding(subject) },
  { name: "forward-firewall", look: checkForwardFirewall },
  { name: "output-firewall", look: checkOutputFirewall },
];

/** Of a gateway: what clients send to its port. Of a client: what the server answers. */
async function checkInputFirewall(subject: Subject): Promise<Verdict[]> {
  const { server, client } = subject;
  if (server !== null) {
    const { listenPort: port } = server;
    return judge(subject, await subject.firewall(), {
      packets: toGateway(subject, server),
      isLess6: !isReachedByIpv6(server),
      what: `packets from clients to UDP port ${port}`,
      openings: [{ protocol: "udp", port, device: null }],
      good: `this host's firewall accepts packets to UDP port ${port}`,
    });
  }
  if (client === null) return [];
  const { answer, isCaptured } = await withServer(subject, client);
  if (isCaptured) return [];
  return judge(subject, await subject.firewall(), {
    packets: [["in", answer]],
    what: "the server's answers",
    openings: [{ protocol: "udp", sourcePort: answer.sourcePort, device: null }],
    good: "this host's firewall accepts the server's answers",
  });
}

/**
 * A policy that drops what this host sends drops answers as well, unless a rule accepts what belongs to a connection.
 */
async function checkAnswerFirewall(subject: Subject): Promise<Verdict[]> {
  const { server, client } = subject;
  if (server !== null) {
    const { listenPort: port } = server;
    return judge(subject, await subject.firewall(), {
      packets: fromGateway(subject, server),
      isLess6: !isReachedByIpv6(server),
      what: `the gateway's answers from UDP port ${port}`,
      openings: [{ protocol: "udp", sourcePort: port, device: null }],
      good: `this host's firewall accepts answers from UDP port ${port}`,
    });
  }
  if (client === null) return [];
  const { request, mark, isCaptured } = await withServer(subject, client);
  if (isCaptured) return [];
  const port = request.options.destinationPort;
  return judge(subject, await subject.firewall(), {
    packets: [["out", request]],
    mark,
    what: `the client's packets to the server's UDP port ${port}`,
    openings: [{ protocol: "udp", port, device: null }],
    good: "this host's firewall accepts the client's packets",
  });
}

/** Whether the files of clients name an IPv6 address: it is then no second way to the gateway, but the only one. */
function isReachedByIpv6({ interface: { publicEndpoint } }: ServerConfig): boolean {
  const address = publicEndpoint?.address ?? null;
  return address !== null && isIpv6(address);
}

/**
 * A rule for the server's port alone connects a tunnel that carries nothing: what goes into it passes the firewall by
 * itself.
 */
async function checkTunnelFirewall(subject: Subject): Promise<Verdict[]> {
  const { client, options: { interfaceName: device } } = subject;
  if (client === null) return [];
  const verdicts = judge(subject, await subject.firewall(), {
    packets: throughTunnel(device, client),
    what: `packets of programs through ${device} (checked with TCP port ${WEB_PORT})`,
    openings: [{ through: device }],
    good: `this host's firewall allows programs to use ${device}`,
  });
  // It may be meant for some services alone.
  return verdicts.map((each) => each.status === "fail" ? { ...each, status: "warn" } : each);
}

/** What clients ask the proxy comes in by the tunnel's interface, which most firewalls have no rule for. */
async function checkDnsFirewall(subject: Subject): Promise<Verdict[]> {
  const { server } = subject;
  if (server === null || proxyAddress(subject) === null) return [];
  const device = subject.options.interfaceName;
  return judge(subject, await subject.firewall(), {
    packets: questions(server, device),
    what: `queries of clients to DnsProxy on port ${DNS_PORT} of ${device}`,
    openings: (["udp", "tcp"] as const).map((protocol) => ({ protocol, port: DNS_PORT, device })),
    good: `this host's firewall allows clients to query DnsProxy through ${device}`,
  });
}

/** `Egress = kernel`: the host forwards, if it may, and masks clients by nftables. */
export function checkForwarding(
  { server, instance }: Pick<Subject, "server" | "instance">,
  isThere = hasNftables,
): Verdict[] {
  if (server?.interface.egress !== "kernel") return [];
  if (!isThere()) {
    return [fail(
      "Egress = kernel, but this kernel has no nf_tables to translate clients' addresses by",
      "`modprobe nf_tables`, on the host where this is a container, or Egress = off",
    )];
  }
  if (readSysctl(IP_FORWARD) === "1") return [ok("ip_forward is 1: the kernel forwards packets")];
  if (instance?.isOurs !== true && isWritable(IP_FORWARD)) {
    return [ok("ip_forward is 0, and is set to 1 while the gateway is running")];
  }
  return [fail(
    "Egress = kernel, but ip_forward is 0: the kernel forwards no packets",
    "`sysctl -w net.ipv4.ip_forward=1` on the host (a container: start it with `--sysctl net.ipv4.ip_forward=1`), " +
      "or Egress = raw, which needs no forwarding",
  )];
}

/** Docker's policy, for one, drops what it did not ask to be forwarded; others reject, or accept one way alone. */
async function checkForwardFirewall(subject: Subject): Promise<Verdict[]> {
  const { server, netlink, options: { interfaceName: device } } = subject;
  if (server === null) return [];
  const firewall = await subject.firewall();
  const { egress, lines } = server.interface;
  const egress6 = egress6Of(server.interface);
  const [openings, good] = [[{ through: device }], "no firewall rule prevents forwarding"];
  const ofIpv4 = egress !== "kernel" ? [] : judge(subject, firewall, {
    packets: forwarded("ip", device, externalOf(subject)?.name ?? null),
    what: `packets that the kernel forwards for ${device} (Egress = kernel)`,
    openings,
    good,
    other: "or Egress = raw, which needs no forwarding",
  });
  // By its own NAT, a gateway forwards nothing; where there is no way outside, another check tells of that.
  const external6 = egress6 === "off" || isNat66(server.interface)
    ? null
    : findExternalLink6(server, netlink, { tunnel: device, mark: EGRESS_MARK });
  const ofIpv6 = external6 === null ? [] : judge(subject, firewall, {
    packets: forwarded("ip6", device, external6.name),
    what: `packets that the kernel forwards for ${device} (Egress6 = ${egress6})`,
    isLess6: !lines.has("Egress6"),
    openings,
    good,
    other: `or Egress6 = off (${subject.place("Egress6")})`,
  });
  // What keeps clients from the internet is opened for both directions.
  const ofPorts = external6 === null || ofIpv6.some(({ status }) => status !== "ok")
    ? []
    : judgePorts(subject, server, firewall, external6);
  const all = [...ofIpv4, ...ofIpv6, ...ofPorts];
  const told = [...new Map(all.map((verdict) => [verdict.why, verdict])).values()];
  const bad = told.filter(({ status }) => status !== "ok");
  return bad.length > 0 ? bad : told;
}

/** `Forward6`, where the kernel forwards: who is outside begins to talk, which answers to clients do not. */
function judgePorts(
  subject: Subject,
  server: ServerConfig,
  firewall: Firewall,
  external: ExternalLink6,
): Verdict[] {
  const { forwards6 } = server.interface;
  if (forwards6.length === 0) return [];
  const device = subject.options.interfaceName;
  const { entering, onward } = forPorts(server, device, external);
  const shared = {
    what: `new connections to forwarded ports (Forward6) through ${device}`,
    good: "no firewall rule prevents forwarding",
    other: `or remove the line (${subject.place("Forward6")})`,
  };
  return [
    ...judge(subject, firewall, {
      ...shared,
      packets: entering,
      openings: forwards6.map(({ protocol, externalPort: port }) => ({
        protocol,
        port,
        device: external.name,
      })),
    }),
    ...judge(subject, firewall, { ...shared, packets: onward, openings: [{ through: device }] }),
  ];
}

/**
 * `Egress = raw`: once the NAT knows the next hop, packets leave by a packet socket, past the host's IP layer. Only the
 * first ones to a neighbour meet what the firewall says of packets that this host sends.
 */
async function checkOutputFirewall(subject: Subject): Promise<Verdict[]> {
  if (subject.server?.interface.egress !== "raw") return [];
  const chains = (await subject.firewall()).refusingOutput();
  if (chains.length === 0) return [ok("the NAT bypasses no rule of this host's firewall")];
  return [warn(
    `rules that drop outgoing packets of this host (${
      chains.join("; ")
    }) have no effect on packets of clients: ` +
      "the NAT sends them through a packet socket, which bypasses these chains",
    `list the networks that clients must not reach in EgressDeny (${
      subject.place("EgressDeny")
    }), ` +
      "or start the gateway with --no-offload, so that every packet passes these rules",
  )];
}

/** Says of each chain that is in the way what it does, by which rule, and how it is opened. */
function judge(
  subject: Subject,
  firewall: Firewall,
  { packets, mark = 0, what, isLess6 = false, openings, good, other = "" }: {
    readonly packets: readonly Travelling[];
    readonly mark?: number;
    readonly what: string;
    /** Whether a tunnel works without IPv6: what is in the way of that is a warning then. */
    readonly isLess6?: boolean;
    readonly openings: readonly Opening[];
    readonly good: string;
    readonly other?: string;
  },
): Verdict[] {
  const verdicts = new Map<string, Verdict>();
  const obstacles = packets.flatMap(([journey, packet]) =>
    firewall.obstacles(journey, packet, mark).map((obstacle) => ({ ...obstacle, packet }))
  );
  for (const { packet: { family }, ...obstacle } of obstacles) {
    const { title, decision: { fate, by, exceptions } } = obstacle;
    if (verdicts.has(title)) continue;
    const bad = family === "ip6" && isLess6 ? warn : fail;
    const remedy = [remedyFor(subject, obstacle, openings), other].filter(Boolean).join(", ");
    const rule = by.startsWith("the policy") ? `${by}, as no rule accepts it` : by;
    const [exception] = exceptions.filter((each) => each.fate === "accepted");
    const why = `the firewall (${title}) ${FATES[fate]} ${what}${
      family === "ip6" ? " by IPv6" : ""
    }: ${rule}`;
    verdicts.set(
      title,
      fate === "queued"
        ? warn(`${why}: that program decides by its own rules`, remedy)
        : exception === undefined
        ? bad(why, remedy)
        : warn(
          `${why}; ${exception.by} accepts some of them by other criteria, such as their source`,
          remedy,
        ),
    );
  }
  if (verdicts.size > 0) return [...verdicts.values()];
  const families = new Set(packets.map(([, { family }]) => family));
  const unread = [...families].flatMap((family) => firewall.unread(family));
  if (unread.length > 0) {
    return [warn(
      `the legacy iptables of the kernel have rules (${
        [...new Set(unread)].join(", ")
      }) that cannot be read`,
      "install `iptables-legacy`, or run `vpn doctor` as root",
    )];
  }
  return [ok(good)];
}
