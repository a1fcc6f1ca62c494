/** Checks of a client's path to its server, and what each outcome of the trial means. */
import type { ClientConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { formatEndpoint } from "../../core/config/text/config_writer.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { PATH_OVERHEAD } from "../../core/wireguard/path/path_mtu.ts";
import { formatAddress, formatSocketAddress, isIpv6 } from "../../core/wire/host_address.ts";
import { HostNetwork } from "../../host/network/host_network.ts";
import { Journal } from "../../host/journal/journal.ts";
import { planRoutes, requireReachableOutside } from "../../host/network/route_plan.ts";
import { errorMessage } from "../../process/errors.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import type { EndpointReach, PathTrial, Reach } from "./reach.ts";
import type { Subject } from "./subject.ts";

type Tried = Extract<Reach, { kind: "tried" }>;

type Judge = (subject: Subject, way: EndpointReach) => readonly Verdict[] | Promise<Verdict[]>;

export const REACH_CHECKS: readonly Check[] = [
  { name: "server-name", look: (subject) => byEndpoint(subject, checkName, { isOneEnough: true }) },
  {
    name: "server-network",
    look: (subject) => byEndpoint(subject, checkNetwork, { isOneEnough: false }),
  },
  {
    name: "handshake",
    look: (subject) => byEndpoint(subject, checkHandshake, { isOneEnough: true }),
  },
  { name: "path-mtu", look: (subject) => byEndpoint(subject, checkPath, { isOneEnough: false }) },
];

/** What is to be said of each endpoint. With `isOneEnough`, what fails by one is a warning where another answers. */
async function byEndpoint(
  subject: Subject,
  judge: Judge,
  { isOneEnough }: { readonly isOneEnough: boolean },
): Promise<readonly Verdict[]> {
  const ways = await subject.ways();
  const verdicts = (await Promise.all(ways.map((way) => judge(subject, way)))).flat();
  const isAnswered = ways.length > 1 &&
    ways.some(({ reach }) => reach.kind === "tried" && reach.handshake.kind === "answered");
  if (!isOneEnough || !isAnswered) return verdicts;
  return verdicts.map((verdict) =>
    verdict.status === "fail" ? { ...verdict, status: "warn" } : verdict
  );
}

function checkName(_subject: Subject, { client, reach }: EndpointReach): Verdict[] {
  if (reach.kind === "up") return [];
  const { host, address } = client.server.endpoint;
  if (address !== null) return [];
  if (reach.kind !== "unresolved") return [ok(`${host} is ${formatAddress(reach.address)}`)];
  const { error } = reach;
  return [fail(
    errorMessage(error),
    `correct Endpoint (${client.fileName}:${client.server.line}), or use an IP address; ` +
      `\`getent ahosts ${host}\` shows what this host finds`,
  )];
}

/** The tunnel must not swallow the way to its own server. */
function checkNetwork(subject: Subject, { client, reach }: EndpointReach): Verdict[] {
  if (!("address" in reach)) return [];
  const plan = planRoutes(client);
  using network = new HostNetwork(new Journal(subject.options.interfaceName));
  const way = network.wayTo(reach.address, plan.mark);
  try {
    requireReachableOutside(client, { plan, server: reach.address, way });
    return [ok(`the route to ${formatAddress(reach.address)} is outside the tunnel`)];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [
      fail(error.message, "remove that network from the line, or use 0.0.0.0/0 for a full tunnel"),
    ];
  }
}

async function checkHandshake(
  subject: Subject,
  { client, reach }: EndpointReach,
): Promise<Verdict[]> {
  if (reach.kind === "unresolved") return [];
  if (reach.kind === "up") {
    const state = await subject.running();
    const server = state.kind === "known" ? state.status.peers[0] : undefined;
    const up =
      `${reach.device} has the tunnel's address: the tunnel is up, and no test handshake is made`;
    if (server === undefined) return [ok(up)];
    // What is wrong with it is told by another check.
    if (server.presence !== "up") return [];
    return [ok(`${up}; its last handshake was at ${server.latestHandshake}`)];
  }
  if (reach.kind === "untried") {
    return [ok("Transport = faketcp: the handshake is not tested here; `vpn client` shows it")];
  }
  const server = `${
    formatSocketAddress({ address: reach.address, port: client.server.endpoint.port })
  } (UDP)`;
  const endpoint = `Endpoint (${client.fileName}:${client.server.line})`;
  switch (reach.handshake.kind) {
    case "answered":
      return [ok(`${server} answered in ${reach.handshake.time.toFixed(0)} ms: the keys match`)];
    case "refused":
      return [fail(
        `no program listens at ${server}: ${reach.handshake.reason}`,
        `start the server there (\`vpn server --config FILE\`), or correct the port in ${endpoint}`,
      )];
    case "forbidden":
      return [fail(
        `this host's own firewall blocks packets to ${server} (EPERM)`,
        `${
          subject.command("vpn cleanup")
        } if a killed process left its kill switch; otherwise allow outgoing UDP: ` +
          subject.command(
            `${isIpv6(reach.address) ? "ip6tables" : "iptables"} -I OUTPUT -d ${
              formatAddress(reach.address)
            } -p udp -j ACCEPT`,
          ),
      )];
    case "unreachable":
      return [fail(
        `there is no route to ${server}: ${reach.handshake.reason}`,
        `connect this host to a network, or correct ${endpoint}; ` +
          `\`ip route get ${formatAddress(reach.address)}\` shows the route`,
      )];
    case "prohibited":
      return [fail(
        `a firewall blocks ${server}: ${reach.handshake.reason}`,
        `open UDP port ${client.server.endpoint.port} there, or use a network that allows UDP` +
          (client.interface.transport === "udp" ? ", or `Transport = auto` on both sides" : ""),
      )];
    case "unfitting":
      return [fail(
        `${server} answered, but its answer is not valid: the preshared keys differ`,
        `give both sides the same PresharedKey (${client.fileName}:${client.server.line}), or none`,
      )];
    case "silent":
      return [silent(client, server, reach)];
  }
}

/**
 * WireGuard answers nobody whom it does not know. What can be told apart is whether the host is there, and whether it
 * refuses another port: then it would refuse this one, too, if nobody listened and no firewall dropped.
 */
function silent(client: ClientConfig, server: string, { pings, refusesOthers }: Tried): Verdict {
  const own = encodeKey(client.interface.publicKey);
  const theirs = encodeKey(client.server.publicKey);
  const host = refusesOthers
    ? "its host rejects other ports but not this one: a server listens there and the keys do not match, " +
      "or a firewall drops only this port"
    : pings === null
    ? "the cause is unknown: a server does not answer unknown clients"
    : pings
    ? "its host answers pings and does not report closed ports, so the keys do not match, " +
      "or a firewall drops UDP"
    : "its host does not answer pings either: it is down, or a firewall drops everything, or the keys do not match";
  const keys = `its [Peer] for this client must have PublicKey = ${own}; ` +
    `\`vpn pubkey\` of its PrivateKey must print ${theirs}; both sides' PresharedKey and clock must agree`;
  const service =
    "on the server: `vpn status` (is it running?), `vpn doctor` (does its firewall drop the port?)";
  return fail(
    `no valid answer from ${server}: ${host}`,
    (refusesOthers ? `on the server, ${keys}; ${service}` : `${service}; ${keys}`) +
      (client.interface.transport === "udp"
        ? "; if networks on the path drop UDP: `Transport = auto` on both sides"
        : "; with `Transport = auto`, `vpn client` also tries fake TCP, which is not tested here"),
  );
}

function checkPath(subject: Subject, { client, reach }: EndpointReach): Verdict[] {
  if (reach.kind !== "tried" || reach.path === null) return [];
  const verdict = judgePath(subject, client, reach.path);
  if (subject.client?.endpoints.length === 1) return [verdict];
  return [{ ...verdict, why: `${formatEndpoint(client.server.endpoint)}: ${verdict.why}` }];
}

function judgePath(subject: Subject, client: ClientConfig, path: PathTrial): Verdict {
  const { wanted, passed, isKnown } = path;
  if (passed === null) {
    return ok("the server answers neither probes nor pings: the path MTU is unknown");
  }
  if (passed >= wanted) return ok(`the path carries packets of ${passed} bytes without fragments`);
  const mtu = passed - PATH_OVERHEAD;
  const remedy = `MTU = ${mtu} (${subject.place("MTU")})`;
  if (!isKnown) {
    return warn(
      `MTU black hole: packets with DF arrive up to ${passed} bytes, and are lost at ${wanted}, ` +
        "and no router reports it (ICMP is filtered): connections that rely on path MTU discovery hang",
      `${remedy}, or allow ICMP type 3 code 4 on the path`,
    );
  }
  return typeof client.interface.mtu !== "number"
    ? ok(
      `the path MTU is ${passed} bytes, and routers report it: the client lowers its MTU to ${mtu} by itself`,
    )
    : warn(
      `the path MTU is ${passed} bytes, not ${wanted}: longer packets are sent in fragments`,
      remedy,
    );
}
