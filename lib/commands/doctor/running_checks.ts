/** Checks of what runs: how it is, as it says itself, whether the file still says the same, and whom it hears. */
import type { Config } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { formatCidr } from "../../core/wire/ipv4_text.ts";
import type { PeerStatus, Status } from "../../control/status.ts";
import { age } from "../status/view.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import type { Subject } from "./subject.ts";

const RESTART = "end it and start it again";

export const RUNNING_CHECKS: readonly Check[] = [
  { name: "running", look: checkRunning },
  { name: "running-file", look: checkFile },
  { name: "running-peers", look: checkPeers },
];

async function checkRunning(subject: Subject): Promise<Verdict[]> {
  const running = await subject.running();
  const { options: { interfaceName }, role } = subject;
  if (running.kind === "none") return [];
  if (running.kind === "mute") {
    return [fail(
      `${interfaceName} runs, but does not say how it is: ${running.problem}`,
      `run \`vpn doctor\` as its user or as root; if it hangs, ${RESTART}`,
    )];
  }
  const { status } = running;
  if (role !== null && role !== status.role) {
    return [fail(
      `a ${status.role} runs as ${interfaceName}, and the configuration is for a ${role}`,
      "give the configuration that runs, or name another interface with --interface",
    )];
  }
  if (status.missing.length > 0) {
    return [fail(
      `${interfaceName} is degraded, without ${status.missing.join(", ")}`,
      "find the program that takes it away (`vpn status` and the log say when), and keep it from that; " +
        `what is lacking of the host's own, such as a default route, is to be put there`,
    )];
  }
  return [ok(`the ${status.role} ${interfaceName} says that all it put on the host is in place`)];
}

/** Much of what a report says is about the file; what runs may have been started with another. */
async function checkFile(subject: Subject): Promise<Verdict[]> {
  const { config } = subject;
  const running = await subject.running();
  if (config === null || running.kind !== "known" || running.status.role !== subject.role) {
    return [];
  }
  const differences = differencesOf(config, running.status);
  if (differences.length === 0) return [ok(`what runs is what ${config.fileName} says`)];
  return [warn(
    `what runs differs from ${config.fileName}: ${differences.join("; ")}: ` +
      "what is said here of the file does not hold for it",
    `\`vpn reload\`, or ${RESTART}, if the file is meant`,
  )];
}

/** In words, of what a running instance tells. */
export function differencesOf(config: Config, status: Status): string[] {
  const { interface: { publicKey, addresses, listenPort }, peers } = config;
  const differences: string[] = [];
  if (encodeKey(publicKey) !== status.publicKey) differences.push("it has another PrivateKey");
  if (listenPort !== null && listenPort !== 0 && listenPort !== status.listenPort) {
    differences.push(`it listens on port ${status.listenPort}`);
  }
  const own = addresses.map(formatCidr);
  if (own.join() !== status.addresses.join()) {
    differences.push(`it has the address ${status.addresses.join(", ")}`);
  }
  const written = new Set(peers.map((peer) => encodeKey(peer.publicKey)));
  const there = new Set(status.peers.map((peer) => peer.publicKey));
  const added = [...written.difference(there)].length;
  const removed = [...there.difference(written)].length;
  if (added > 0) differences.push(`${added} of the file's peers are not there`);
  if (removed > 0) differences.push(`${removed} of its peers are not in the file`);
  return differences;
}

async function checkPeers(subject: Subject): Promise<Verdict[]> {
  const running = await subject.running();
  if (running.kind !== "known") return [];
  return judgePeers(running.status);
}

/** What the peers of a running instance show. */
export function judgePeers({ role, peers }: Status): Verdict[] {
  const shared = peers.filter(({ otherEndpoint }) => otherEndpoint !== null);
  const verdicts = shared.map((peer) =>
    fail(
      `${nameOf(peer)}'s key is used by two hosts, at ${
        peer.endpoint ?? "-"
      } and ${peer.otherEndpoint}: ` +
        "each cuts the other off",
      "`vpn peer add NAME` for one of them: each device needs a key, and an address, of its own",
    )
  );
  if (role === "client") {
    const [server] = peers;
    if (server !== undefined && server.presence !== "up") verdicts.push(lostServer(server));
  }
  if (verdicts.length > 0) return verdicts;
  const count = peers.filter(({ presence }) => presence === "up").length;
  return [
    ok(role === "client" ? "the server is heard" : `${count} of ${peers.length} peers are up`),
  ];
}

function lostServer({ silence, endpoint }: PeerStatus): Verdict {
  const since = silence === null ? "was never heard" : `has been silent for ${age(silence)}`;
  return fail(
    `the tunnel is up, but the server (${endpoint ?? "no endpoint"}) ${since}`,
    "look at the server with `vpn status` and `vpn doctor` there; end this client, and `vpn doctor` tries a handshake",
  );
}

function nameOf({ name, publicKey }: PeerStatus): string {
  return name ?? publicKey;
}
