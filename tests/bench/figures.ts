/** Figures of the benchmark: what is measured, in which unit, and what it must reach against the other contenders. */
import { median, type Samples, type Summary } from "./samples.ts";

/** How the figures name the contenders. */
export const ContenderName = {
  vpn: "vpn",
  fakeTcp: "vpn, fake TCP",
  boringssl: "vpn, BoringSSL",
  libcrypto: "vpn, libcrypto",
  builtin: "vpn, built-in AEAD",
  kernelNat: "vpn, kernel's NAT",
  wireguardGo: "wireguard-go, newest",
  wireguardGoInstalled: "wireguard-go, installed",
  nebula: "nebula",
  openvpn: "OpenVPN",
  mixed: "vpn to wireguard-go",
} as const;

/** What this project's own number is held against. */
export interface Target {
  /** The quotient of the two medians, or, in pairs, the median of the quotients; or the number itself. */
  readonly of: "ratio" | "value";
  readonly atLeast?: number;
  readonly aim?: number;
}

/** One thing that is measured. */
export interface Figure {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** Digits behind the decimal point. */
  readonly digits: number;
  /** The contender whose median is 1 x; none where a quotient says nothing. */
  readonly baseline?: string;
  readonly target?: Target;
  /** Whether number i of each contender is of the same moment: the ratio is the median of theirs, then. */
  readonly inPairs?: boolean;
  /** The contenders that the target is for; `vpn` alone if left out. */
  readonly judged?: readonly string[];
}

const { vpn, wireguardGo } = ContenderName;

function tcp(id: string, title: string, target: Target): Figure {
  return { id, title, unit: "Gbit/s", better: "higher", digits: 2, baseline: wireguardGo, target };
}

function report(id: string, title: string, unit: string, digits = 0): Figure {
  return { id, title, unit, better: "lower", digits };
}

const STREAMS: Target = { of: "ratio", atLeast: 1.5, aim: 2 };
/** Our NAT beside the masquerade behind the other. */
const NAT: Target = { of: "ratio", atLeast: 1.5 };
/** Fake TCP beside UDP. */
const TRANSPORTS: Target = { of: "ratio", atLeast: 0.5, aim: 0.9 };

/** Configured peers that throughput is measured with. */
export const PEER_COUNTS: readonly number[] = [1, 10, 100, 1000];

/** How the rows of the peers' figure are called. */
export function peersName(count: number): string {
  return `${count} ${count === 1 ? "peer" : "peers"}`;
}

/** Peers of the gateway that is measured alone. */
export const GATEWAY_PEERS = 64;

/** How the rows of a gateway's figures are called, by its data-plane threads. */
export function threadsName(count: number): string {
  return count === 1 ? ONE_THREAD : `${count} threads`;
}
const ONE_THREAD = "1 thread";
/** How those are called in which our own NAT translates, not the kernel. */
export function natThreadsName(count: number): string {
  return `${threadsName(count)}, our NAT`;
}

/** How the rows of the figures of both families are called. */
export function familiesName(inside: string, outside: string): string {
  return `${inside} inside, ${outside} outside`;
}
const IPV4_ALONE = familiesName("IPv4", "IPv4");
const WITH_IPV6 = ["IPv4", "IPv6"].flatMap((outside) =>
  ["IPv4", "IPv6"].map((inside) => familiesName(inside, outside))
).filter((name) => name !== IPV4_ALONE);

/** The rows of the figures of a fleet that has but one gateway. */
export const SINGLE_GATEWAY = "a gateway";
export const FLEET_OF_ONE = "a fleet of one";

/** It is to cost what a single gateway does. */
function fleetOfOne(id: string, title: string, unit: string): Figure {
  return {
    ...report(
      `fleet-of-one-${id}`,
      `processor time of a gateway alone in its fleet, ${title}`,
      unit,
      2,
    ),
    baseline: SINGLE_GATEWAY,
    target: { of: "ratio", atLeast: 1.03 },
    judged: [FLEET_OF_ONE],
  };
}

/** IPv6 beside IPv4, of one run. */
function families(id: string, title: string, baseline: string, judged: string[]): Figure[] {
  return [
    {
      ...report(`${id}-cpu`, `processor time for a megabyte, TCP, ${title}`, "ms/MB", 2),
      baseline,
      target: { of: "ratio", atLeast: 1.05 },
      judged,
    },
    {
      ...tcp(id, `TCP, one stream, both directions' sum, ${title}`, { of: "ratio", atLeast: 0.95 }),
      baseline,
      judged,
    },
  ];
}

const GATEWAY_WAYS: Readonly<Record<string, string>> = {
  up: "to the internet",
  down: "from the internet",
  across: "from peer to peer",
};

/** Who translates, and the ways, of which backlogs are worked off. */
const BACKLOGS = [
  ["raw", "up"],
  ["raw", "down"],
  ["kernel", "up"],
  ["kernel", "down"],
  ["kernel", "across"],
] as const;

/** The figure of a backlog that goes this way. */
export function backlogFigure(egress: "raw" | "kernel", way: string): string {
  return `backlog-${egress}-${way}`;
}

/** All figures, in the order in which they are shown: what other load on the machine disturbs the least is first. */
export const FIGURES: readonly Figure[] = [
  {
    ...report("cpu", "processor time of both ends for a megabyte, TCP, one stream", "ms/MB", 2),
    baseline: wireguardGo,
    target: { of: "ratio", atLeast: 0.6, aim: 0.5 },
  },
  tcp("tcp-1-up", "TCP, one stream, client to server", STREAMS),
  tcp("tcp-1-down", "TCP, one stream, server to client", STREAMS),
  tcp("tcp-4-up", "TCP, four streams, client to server", STREAMS),
  tcp("tcp-4-down", "TCP, four streams, server to client", STREAMS),
  ...(["up", "down"] as const).map((direction): Figure => ({
    ...tcp(
      `transports-${direction}`,
      `TCP, one stream, by UDP and by fake TCP, ${direction}`,
      TRANSPORTS,
    ),
    baseline: vpn,
    judged: [ContenderName.fakeTcp],
  })),
  tcp("nat-up", "TCP, one stream, through the gateway to the internet", NAT),
  tcp("nat-down", "TCP, one stream, through the gateway from the internet", NAT),
  {
    id: "udp",
    title: "UDP, 64-byte payloads, loss at most 1 %",
    unit: "packets/s",
    better: "higher",
    digits: 0,
    baseline: wireguardGo,
    target: { of: "ratio", atLeast: 2.6 },
  },
  {
    ...report("ping", "ping round trip, median, idle tunnel", "ms", 3),
    baseline: wireguardGo,
    target: { of: "ratio", atLeast: 0.9 },
  },
  {
    id: "handshakes",
    title: "handshakes answered, 1,000 clients",
    unit: "1/s",
    better: "higher",
    digits: 0,
    baseline: wireguardGo,
    target: { of: "ratio", atLeast: 1, aim: 1.5 },
  },
  {
    id: "handshakes-one-address",
    title: "handshakes answered, all from one address",
    unit: "1/s",
    better: "higher",
    digits: 0,
  },
  report("storm-before", "ping of a peer, 99th percentile, quiet", "ms", 2),
  report("storm-during", "the same during handshakes of 1,000 clients at once", "ms", 2),
  { ...report("storm-rise", "its rise", "ms", 2), target: { of: "value", atLeast: 5 } },
  report("storm-handshakes", "handshakes that were answered before such a ping", "handshakes"),
  report("storm-time", "until all of the 1,000 have their answer", "ms"),
  {
    ...report("memory-1", "resident memory of the server, one peer, idle", "MB"),
    target: { of: "value", aim: 100 },
  },
  {
    ...report("memory-1-loaded", "the same after traffic at full rate", "MB"),
    target: { of: "value", aim: 115 },
  },
  {
    ...report("memory-1000", "resident memory, 1,000 peers configured, idle", "MB"),
    target: { of: "value", aim: 130 },
  },
  {
    ...report("memory-1000-loaded", "the same with 1,000 sessions after a handshake storm", "MB"),
    target: { of: "value", aim: 160 },
  },
  {
    ...report("start", "start of the client to first packet through", "ms"),
    target: { of: "value", aim: 300 },
  },
  {
    id: "peers",
    title: "TCP, one stream, both directions' sum, by configured peers",
    unit: "Gbit/s",
    better: "higher",
    digits: 2,
    baseline: peersName(1),
    target: { of: "ratio", atLeast: 0.9 },
    judged: PEER_COUNTS.filter((count) => count > 1).map(peersName),
  },
  ...Object.entries(GATEWAY_WAYS).flatMap(([way, title]): Figure[] => [
    {
      id: `gateway-${way}`,
      title: `gateway alone, ${GATEWAY_PEERS} peers, ${title}`,
      unit: "Gbit/s",
      better: "higher",
      digits: 2,
      baseline: ONE_THREAD,
    },
    {
      ...report(`gateway-${way}-cpu`, "its processor time for a megabyte", "ms/MB", 2),
      baseline: ONE_THREAD,
    },
  ]),
  ...BACKLOGS.flatMap(([egress, way]): Figure[] => [
    {
      id: backlogFigure(egress, way),
      title: `gateway alone, a backlog of ${GATEWAY_PEERS} peers, ${GATEWAY_WAYS[way]}, ${
        egress === "raw" ? "our" : "the kernel's"
      } NAT`,
      unit: "Gbit/s",
      better: "higher",
      digits: 2,
      baseline: ONE_THREAD,
      inPairs: true,
      target: { of: "ratio", atLeast: 1.7 },
      judged: [threadsName(2)],
    },
    {
      ...report(`${backlogFigure(egress, way)}-cpu`, "its processor time for a packet", "us", 2),
      baseline: ONE_THREAD,
      inPairs: true,
    },
  ]),
  {
    id: "gateway-peers",
    title: "gateway alone, one thread, a backlog to the internet, by peers that send",
    unit: "Gbit/s",
    better: "higher",
    digits: 2,
    baseline: peersName(1),
    inPairs: true,
    target: { of: "ratio", atLeast: 0.95 },
    judged: [peersName(1000)],
  },
  {
    ...report("gateway-peers-cpu", "its processor time for a packet", "us", 2),
    baseline: peersName(1),
    inPairs: true,
    target: { of: "ratio", atLeast: 1.05 },
    judged: [peersName(1000)],
  },
  ...families("families", "by family inside and outside", IPV4_ALONE, WITH_IPV6),
  ...families("families-nat", "through our NAT, by family", "IPv4", ["IPv6"]),
  fleetOfOne("cpu", "for a megabyte to the internet", "ms/MB"),
  fleetOfOne("handshake", "for a handshake of 936 clients", "us"),
  {
    ...report("fleet-of-one-rest", "the same at rest, for a second", "ms", 1),
    baseline: SINGLE_GATEWAY,
  },
];

/** Whether a threshold is reached; null where there is none, or the contender is not held against it. */
export interface Verdict {
  readonly atLeast: boolean | null;
  readonly aim: boolean | null;
}

/** A contender's result for a figure. */
export interface Result {
  readonly contender: string;
  readonly summary: Summary;
  /** To the baseline; null without one. */
  readonly ratio: number | null;
  readonly verdict: Verdict;
}

/** The results of all contenders for a figure. */
export function resultsOf(figure: Figure, samples: Samples): Result[] {
  const baseline = figure.baseline === undefined
    ? null
    : samples.summary(figure.id, figure.baseline);
  return samples.contenders(figure.id).map((contender) => {
    const summary = samples.summary(figure.id, contender)!;
    const ratio = baseline === null ? null : ratioOf(figure, summary, baseline);
    return { contender, summary, ratio, verdict: judge(figure, contender, summary, ratio) };
  });
}

function ratioOf({ inPairs = false }: Figure, summary: Summary, baseline: Summary): number {
  if (!inPairs) return summary.median / baseline.median;
  return median(summary.values.map((value, i) => value / baseline.values[i]!));
}

function judge(
  figure: Figure,
  contender: string,
  summary: Summary,
  ratio: number | null,
): Verdict {
  const { target, judged = [vpn] } = figure;
  const value = target?.of === "ratio" ? ratio : summary.median;
  if (target === undefined || value === null || !judged.includes(contender)) {
    return { atLeast: null, aim: null };
  }
  const reaches = (threshold: number | undefined) => {
    if (threshold === undefined) return null;
    return figure.better === "higher" ? value >= threshold : value <= threshold;
  };
  return { atLeast: reaches(target.atLeast), aim: reaches(target.aim) };
}
