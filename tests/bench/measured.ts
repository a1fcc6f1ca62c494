/** Table of what a run has measured, with its text, as the first page of the project shows it: to be pasted there. */
import type { BenchResult } from "./course.ts";
import { ContenderName } from "./figures.ts";
import { isBusy } from "./machine.ts";
import type { FigureReport } from "./report.ts";
import { formatNumber } from "./table.ts";

const {
  vpn,
  kernelNat,
  fakeTcp,
  boringssl,
  libcrypto,
  builtin,
  wireguardGo,
  wireguardGoInstalled,
  nebula,
  openvpn,
} = ContenderName;

/** A row: one or two figures beside each other. */
interface Row {
  readonly title: string;
  readonly figures: readonly string[];
  readonly unit: string;
  /** Which of ours it is about; `vpn` if left out. */
  readonly ours?: string;
  readonly digits: number;
  /** Whether the others stand in it: not where it repeats what they have above. */
  readonly oursAlone?: boolean;
  /** The ratio says nothing. */
  readonly withoutRatio?: boolean;
}

const GBIT = { unit: "Gbit/s", digits: 2 } as const;
const LOWER = "(lower is better)";

const ROWS: readonly Row[] = [
  {
    title: `processor time for a megabyte ${LOWER}`,
    figures: ["cpu"],
    unit: "ms",
    digits: 2,
  },
  { title: "TCP, one stream, up / down", figures: ["tcp-1-up", "tcp-1-down"], ...GBIT },
  {
    title: "the same by fake TCP",
    figures: ["tcp-1-up", "tcp-1-down"],
    ours: fakeTcp,
    oursAlone: true,
    ...GBIT,
  },
  {
    title: "the same by BoringSSL, without IPsec-MB",
    figures: ["tcp-1-up", "tcp-1-down"],
    ours: boringssl,
    oursAlone: true,
    ...GBIT,
  },
  {
    title: "the same by OpenSSL, without either",
    figures: ["tcp-1-up", "tcp-1-down"],
    ours: libcrypto,
    oursAlone: true,
    ...GBIT,
  },
  {
    title: "the same, our built-in cipher",
    figures: ["tcp-1-up", "tcp-1-down"],
    ours: builtin,
    oursAlone: true,
    ...GBIT,
  },
  { title: "TCP, four streams, up / down", figures: ["tcp-4-up", "tcp-4-down"], ...GBIT },
  {
    title: "to / from the internet, our NAT, their masquerade",
    figures: ["nat-up", "nat-down"],
    ...GBIT,
  },
  {
    title: "the same, the kernel's NAT for all",
    figures: ["nat-up", "nat-down"],
    ours: kernelNat,
    oursAlone: true,
    ...GBIT,
  },
  {
    title: "UDP, 64-byte payloads, at most 1 % lost",
    figures: ["udp"],
    unit: "packets/s",
    digits: 0,
  },
  { title: `ping round trip ${LOWER}`, figures: ["ping"], unit: "ms", digits: 3 },
  {
    title: "handshakes of 1,000 clients, answered",
    figures: ["handshakes"],
    unit: "a second",
    digits: 0,
  },
  {
    title: "memory at rest / after full rate",
    figures: ["memory-1", "memory-1-loaded"],
    unit: "MB",
    digits: 0,
    withoutRatio: true,
  },
  {
    title: "memory, 1,000 peers / 1,000 sessions",
    figures: ["memory-1000", "memory-1000-loaded"],
    unit: "MB",
    digits: 0,
    withoutRatio: true,
  },
];

/** The section's text, and its table, of what the run has measured. */
export function formatMeasured(result: BenchResult): string {
  const { machine, figures, options, foreignLoad } = result;
  const { processors, processor, kernel, versions } = machine;
  const ciphers = [
    /OpenSSL [\d.]+/.exec(versions["openssl"] ?? "")?.[0],
    versions["boringssl"],
    versions["ipsec-mb"],
  ].flatMap((library) => library === undefined ? [] : [`, ${library}`]);
  const version = (contender: string) => versions[contender]?.split(/[-+]/)[0] ?? "not measured";
  const rows = ROWS.map((row) => tableRow(row, figures)).filter((row) => row !== null);
  const heading = [
    "figure",
    "`vpn`",
    `wireguard-go ${version(wireguardGo)}`,
    "ratio",
    `nebula ${version(nebula)}`,
    `OpenVPN ${version(openvpn)}`,
  ];
  const rounds = figures.find(({ id }) => id === "cpu")?.results[0]?.summary.values.length ??
    options.rounds;
  return [
    isBusy(foreignLoad) ? "MEASURED ON A BUSY MACHINE: NOT TO BE PASTED.\n\n" : "",
    `On ${processors} cores (${processor}), shared by both ends of the tunnel, \`iperf3\` and the`,
    ` kernel (Linux ${kernel}${ciphers.join("")}), beside the newest of`,
    ` the others, each in the same run, ${
      rounds === 1 ? "one round" : `medians of ${rounds} rounds`
    }. The ratio is to wireguard-go.`,
    " `deno task bench` gives yours: it fetches the others and does not install them. Absolute figures",
    " vary from hour to hour, ratios less. How it measures, and where the time goes, is in",
    " [tests/bench/README.md](tests/bench/README.md).\n\n",
    ...[heading, heading.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |\n`),
    "\n",
    footnote(figures, version(wireguardGoInstalled)),
  ].join("");
}

function tableRow(row: Row, figures: readonly FigureReport[]): string[] | null {
  const ours = cell(row, figures, row.ours ?? vpn);
  if (ours === null) return null;
  const other = (contender: string) =>
    row.oursAlone === true ? "" : cell(row, figures, contender) ?? missing(row, figures, contender);
  return [
    row.title,
    `${ours} ${row.unit}`,
    other(wireguardGo),
    row.withoutRatio === true ? "" : ratio(row, figures, row.ours ?? vpn, wireguardGo),
    other(nebula),
    other(openvpn),
  ];
}

function cell(row: Row, figures: readonly FigureReport[], contender: string): string | null {
  const values = medians(row, figures, contender);
  return values?.map((value) => formatNumber(value, row.digits)).join(" / ") ?? null;
}

function missing({ figures: ids }: Row, figures: readonly FigureReport[], contender: string) {
  const isUnfit = figures.filter(({ id }) => ids.includes(id))
    .some(({ notApplicable }) => notApplicable.some((it) => it.contender === contender));
  return isUnfit ? "n/a" : "";
}

/** The quotients of two contenders' medians; nothing where one has none. */
function ratio(row: Row, figures: readonly FigureReport[], one: string, other: string): string {
  const values = medians(row, figures, one);
  const others = medians(row, figures, other);
  if (values === null || others === null) return "";
  return values.map((value, index) => formatNumber(value / others[index]!, 2)).join(" / ");
}

function medians(
  { figures: ids }: Row,
  figures: readonly FigureReport[],
  contender: string,
): number[] | null {
  const values = ids.map((id) =>
    figures.find((figure) => figure.id === id)?.results.find((it) => it.contender === contender)
      ?.summary.median
  );
  return values.every((value) => value !== undefined) ? values : null;
}

/** What an installed wireguard-go did in the same run: it is what one gets from a release of a distribution. */
function footnote(figures: readonly FigureReport[], version: string): string {
  const parts = ROWS.filter(({ oursAlone }) => oursAlone !== true).flatMap((row) => {
    const values = cell(row, figures, wireguardGoInstalled);
    if (values === null) return [];
    const times = row.withoutRatio === true ? "" : ratio(row, figures, vpn, wireguardGoInstalled);
    const title = row.title.replace(` ${LOWER}`, "").replace("our NAT, their", "its");
    return [`${title} ${values} ${row.unit}${times === "" ? "" : ` (ratio ${times})`}`];
  });
  if (parts.length === 0) return "";
  return `The installed wireguard-go, ${version}, in the same run: ${parts.join("; ")}.\n`;
}
