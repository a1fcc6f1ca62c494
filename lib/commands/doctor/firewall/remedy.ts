/**
 * Remedies for chains that are in the way: the commands that open them, in the words of the program that keeps them.
 */
import type { Subject } from "../subject.ts";
import type { Obstacle } from "./firewall.ts";
import type { Fate } from "./walk.ts";

/** What a chain does, as a verb. */
export const FATES: Readonly<Record<Fate, string>> = {
  accepted: "accepts",
  dropped: "drops",
  rejected: "rejects",
  redirected: "redirects",
  queued: "passes to another program",
};

/**
 * What is to pass: packets for a port, by whatever interface or by one; answers from a port; or all that is forwarded
 * for a device.
 */
export type Opening =
  | { readonly protocol: "udp" | "tcp"; readonly port: number; readonly device: string | null }
  | { readonly protocol: "udp"; readonly sourcePort: number; readonly device: null }
  | { readonly through: string };

/** The commands that open a chain, each in quotes and put in front of its rules. */
export function remedyFor(
  subject: Subject,
  obstacle: Obstacle,
  openings: readonly Opening[],
): string {
  if (obstacle.decision.fate === "redirected") {
    return `remove ${obstacle.decision.by}, or choose another port`;
  }
  if (obstacle.decision.fate === "queued") {
    return `make the program behind ${obstacle.decision.by} accept it (\`cat /proc/net/netfilter/nfnetlink_queue\` ` +
      "shows whether one is running)";
  }
  const commands = new Set(openings.flatMap((opening) => commandsFor(obstacle, opening)));
  return [...commands].map((command) => subject.command(command))
    .join(" and ");
}

function commandsFor(obstacle: Obstacle, opening: Opening): string[] {
  const { manager, insert, table, chain } = obstacle;
  if (manager === "ufw" && !("sourcePort" in opening)) return ufwCommands(opening);
  if (manager === "firewalld" && !("sourcePort" in opening)) return firewalldCommands(opening);
  if (insert === "nft") {
    return nftMatches(opening).map((match) => `nft insert rule ${table} ${chain} ${match} accept`);
  }
  // Docker puts its own rules in front of all others, and leaves this chain to other people.
  const target = chain === "FORWARD" && manager === "docker" ? "DOCKER-USER" : chain;
  const option = TABLE_OPTIONS.find((name) => obstacle.title.includes(` ${name} `));
  const program = option === undefined ? insert : `${insert} -t ${option}`;
  return iptablesMatches(opening).map((match) => `${program} -I ${target} ${match} -j ACCEPT`);
}

/** Tables of iptables besides the one that is meant where none is named. */
const TABLE_OPTIONS = ["raw", "mangle", "nat"];

function ufwCommands(opening: Exclude<Opening, { sourcePort: number }>): string[] {
  if ("through" in opening) {
    return [
      `ufw route allow in on ${opening.through}`,
      `ufw route allow out on ${opening.through}`,
    ];
  }
  const { protocol, port, device } = opening;
  return [
    device === null
      ? `ufw allow ${port}/${protocol}`
      : `ufw allow in on ${device} to any port ${port} proto ${protocol}`,
  ];
}

function firewalldCommands(opening: Exclude<Opening, { sourcePort: number }>): string[] {
  const device = "through" in opening ? opening.through : opening.device;
  if (device !== null) {
    return [`firewall-cmd --permanent --zone=trusted --add-interface=${device}`, RELOAD];
  }
  const { port, protocol } = opening as { port: number; protocol: string };
  return [`firewall-cmd --permanent --add-port=${port}/${protocol}`, RELOAD];
}

const RELOAD = "firewall-cmd --reload";

function nftMatches(opening: Opening): string[] {
  if ("through" in opening) return [`iifname "${opening.through}"`, `oifname "${opening.through}"`];
  if ("sourcePort" in opening) return [`${opening.protocol} sport ${opening.sourcePort}`];
  const device = opening.device === null ? "" : `iifname "${opening.device}" `;
  return [`${device}${opening.protocol} dport ${opening.port}`];
}

function iptablesMatches(opening: Opening): string[] {
  if ("through" in opening) return [`-i ${opening.through}`, `-o ${opening.through}`];
  if ("sourcePort" in opening) return [`-p ${opening.protocol} --sport ${opening.sourcePort}`];
  const device = opening.device === null ? "" : `-i ${opening.device} `;
  return [`${device}-p ${opening.protocol} --dport ${opening.port}`];
}
