/** Checks of what runs: how it is, as it says itself, whether the file still says the same, and whom it hears. */
import type { Config } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { formatCidr } from "../../core/wire/ipv4_text.ts";
import type { PeerStatus, Status } from "../../control/status.ts";
import { age } from "../status/view.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import type { Subject } from "./subject.ts";

const RESTART = "restart it";

export const RUNNING_CHECKS: readonly Check[] = [
  { name: "running", look: checkRunning },
  { name: "running-store", look: checkStore },
  { name: "running-file", look: checkFile },
  { name: "running-peers", look: checkPeers },
];

async function checkRunning(subject: Subject): Promise<Verdict[]> {
  const running = await subject.running();
  const { options: { interfaceName }, role } = subject;
  if (running.kind === "none") return [];
  if (running.kind === "mute") {
    return [fail(
      `${interfaceName} is running, but does not report its status: ${running.problem}`,
      `run \`vpn doctor\` as its user or as root; if it hangs, ${RESTART}`,
    )];
  }
  const { status } = running;
  if (role !== null && role !== status.role) {
    return [fail(
      `a ${status.role} is running on ${interfaceName}, but the configuration is for a ${role}`,
      "give the configuration of the running tunnel, or choose another interface with --interface",
    )];
  }
  if (status.missing.length > 0) {
    return [fail(
      `${interfaceName} is degraded, without ${status.missing.join(", ")}`,
      "find the program that removes it (the log says when), and stop it from doing so; " +
        `restore settings of the host itself, such as a default route`,
    )];
  }
  return [
    ok(`the ${status.role} ${interfaceName} reports that all its changes on the host are in place`),
  ];
}

async function checkStore(subject: Subject): Promise<Verdict[]> {
  const running = await subject.running();
  if (running.kind !== "known" || running.status.store === null) return [];
  const { connected, server, problem, lastContact, servers, leftOut, admitsNew, replicas } =
    running.status.store;
  const remedy = `start NATS on ${servers.join(", ")}, or read its log there`;
  const since = lastContact === null ? "was never reached" : `was last reached at ${lastContact}`;
  if (!admitsNew) {
    return [fail(`no new sessions are admitted: the store ${since}: ${problem}`, remedy)];
  }
  if (!connected) {
    return [warn(`the store ${since}: ${problem}: peers cannot be changed meanwhile`, remedy)];
  }
  return [
    leftOut === 0
      ? ok(`the store is connected by ${server}, and has each peer on ${replicas} servers`)
      : warn(
        `${leftOut} entries of the store cannot be used`,
        "the log of the gateway says which, and why: change or remove those peers",
      ),
  ];
}

/** Much of what a report says is about the file; what runs may have been started with another. */
async function checkFile(subject: Subject): Promise<Verdict[]> {
  const { config } = subject;
  const running = await subject.running();
  if (config === null || running.kind !== "known" || running.status.role !== subject.role) {
    return [];
  }
  const differences = differencesOf(config, running.status);
  if (differences.length === 0) return [ok(`the running tunnel matches ${config.fileName}`)];
  return [warn(
    `the running tunnel differs from ${config.fileName}: ${differences.join("; ")}: ` +
      "checks of the file do not apply to it",
    `\`vpn reload\`, or ${RESTART}, to apply the file`,
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
  // A fleet's gateway has them from elsewhere.
  if (status.store !== null) return differences;
  const written = new Set(peers.map((peer) => encodeKey(peer.publicKey)));
  const there = new Set(status.peers.map((peer) => peer.publicKey));
  const added = [...written.difference(there)].length;
  const removed = [...there.difference(written)].length;
  if (added > 0) differences.push(`${added} of the file's peers are missing`);
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
        "each interrupts the other",
      "`vpn peer add NAME` for one of them: each device needs its own key and address",
    )
  );
  if (role === "client") {
    const [server] = peers;
    if (server !== undefined && server.presence !== "up") verdicts.push(lostServer(server));
  }
  if (verdicts.length > 0) return verdicts;
  const count = peers.filter(({ presence }) => presence === "up").length;
  const admitted = peers.filter(({ admission }) => admission === "admitted").length;
  const keptOut = peers.length - admitted;
  return [
    ok(
      role === "client"
        ? "packets arrive from the server"
        : `${count} of ${admitted} peers are up${
          keptOut === 0 ? "" : `, and ${keptOut} disabled or expired`
        }`,
    ),
  ];
}

function lostServer({ silence, endpoint }: PeerStatus): Verdict {
  const since = silence === null ? "was never seen" : `was last seen ${age(silence)} ago`;
  return fail(
    `the tunnel is up, but the server (${endpoint ?? "no endpoint"}) ${since}`,
    "check the server with `vpn status` and `vpn doctor` there; stop this client, and `vpn doctor` tests a handshake",
  );
}

function nameOf({ name, publicKey }: PeerStatus): string {
  return name ?? publicKey;
}
