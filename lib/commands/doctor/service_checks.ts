/**
 * Checks of published services: whether somebody is left behind each, as the gateway that runs says, and whether an
 * address that is to be a service's own is another host's, or this one's.
 */
import { formatIp } from "../../../ffi/netlink/ip_address.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import type { ServiceStatus } from "../../core/peers/service_status.ts";
import { addressBytes } from "../../core/wire/host_address.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import { externalOf } from "./firewall_packets.ts";
import type { Subject } from "./subject.ts";

/** ms that a host may take to answer ARP. */
const ANSWER_TIME = 1_000;
/** ms between looks for it. */
const PAUSE = 50;
const SERVES = new Set(["up", "unchecked"]);

export const SERVICE_CHECKS: readonly Check[] = [
  { name: "service-back-ends", look: checkBackEnds },
  { name: "service-address", look: checkAddresses },
];

async function checkBackEnds(subject: Subject): Promise<Verdict[]> {
  const running = await subject.running();
  return running.kind === "known" ? judgeServices(running.status.services) : [];
}

/** What the services of a gateway that runs show. */
export function judgeServices(services: readonly ServiceStatus[]): Verdict[] {
  if (services.length === 0) return [];
  const verdicts = services.flatMap(({ name, backEnds }): Verdict[] => {
    const left = backEnds.filter(({ state }) => SERVES.has(state));
    if (left.length === backEnds.length) return [];
    const out = backEnds.filter(({ state }) => !SERVES.has(state))
      .map(({ name, state, reason }) =>
        `${name} is ${state}${reason === null ? "" : ` (${reason})`}`
      )
      .join(", ");
    const remedy =
      "start what is to serve there, and let it answer the gateway; `vpn service undrain` takes one back";
    return left.length === 0
      ? [fail(`service ${name}: no back end is left for new connections: ${out}`, remedy)]
      : [
        warn(
          `service ${name}: ${left.length} of ${backEnds.length} back ends serve: ${out}`,
          remedy,
        ),
      ];
  });
  if (verdicts.length > 0) return verdicts;
  const count = services.reduce((sum, { backEnds }) => sum + backEnds.length, 0);
  return [
    ok(`all back ends of published services are there, as far as they are checked: ${count}`),
  ];
}

/** An address of a service's own must be nobody else's: its ARP and what comes for it would be shared. */
async function checkAddresses(subject: Subject): Promise<Verdict[]> {
  const { server, netlink } = subject;
  if (server === null || server.interface.egress !== "raw") return [];
  const addresses = [
    ...new Set(server.interface.forwards.flatMap(({ externalAddress }) => externalAddress ?? [])),
  ];
  const external = externalOf(subject);
  if (addresses.length === 0 || external === null) return [];
  const remedy = `choose an address that no host has (${subject.place("Forward")})`;
  const own = new Set(
    netlink.addresses.list({ family: AF_INET }).map(({ address }) => formatIp(address)),
  );
  const verdicts = await Promise.all(addresses.map(async (address): Promise<Verdict[]> => {
    const text = formatIpv4(address);
    if (own.has(text)) {
      return [
        fail(`Forward: ${text} is an address of this host, whose kernel answers there`, remedy),
      ];
    }
    if (!await answers(subject, external.link, address)) return [];
    return [fail(
      `Forward: a host on ${external.name} answers for ${text} already: connections reach it or the gateway, by chance`,
      remedy,
    )];
  }));
  const found = verdicts.flat();
  if (found.length > 0) return found;
  return [ok(`no host on ${external.name} has ${addresses.map(formatIpv4).join(", ")}`)];
}

/** Has the kernel ask for a neighbour; whether there is an answer. */
async function answers({ netlink }: Subject, link: number, address: number): Promise<boolean> {
  const id = { link, address: addressBytes(address) };
  try {
    netlink.neighbours.use(id);
    for (let waited = 0; waited < ANSWER_TIME; waited += PAUSE) {
      if ((netlink.neighbours.find(id)?.hardwareAddress ?? null) !== null) return true;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    return false;
  } catch (error) {
    // Without the privilege, or with the interface down, nobody can be asked.
    if (error instanceof NetlinkError) return false;
    throw error;
  }
}
