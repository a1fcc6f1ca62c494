/** Unanswered handshakes: why a server may be silent, as far as this host knows, with what to do about it, in words. */
import type { Refusal } from "../../core/wireguard/liveness/refusal.ts";
import { Transport } from "../../core/transport/transport.ts";
import { formatAddress } from "../../core/wire/host_address.ts";
import { TRANSPORT_NAMES } from "./connection_words.ts";

/** What was seen while no valid answer came. */
export interface Silence {
  /** The latest that ICMP has said; null for nothing, or where it cannot be received. */
  readonly refusal: Refusal | null;
  /** Why the kernel refused to send, by the name of its error; null where it did not. */
  readonly sendError: string | null;
  /** Answers to our handshakes that did not decrypt. */
  readonly unfitting: number;
  /** Whether the server's host refuses a port that nobody has, as it would the server's if nobody listened there. */
  readonly refusesOthers: boolean;
  /** By which it was tried. */
  readonly protocols: readonly string[];
  /** UDP port of the server. */
  readonly port: number;
}

/** By `Transport`, the transports that are tried. */
export const TRIED = {
  udp: [TRANSPORT_NAMES[Transport.udp]],
  faketcp: [TRANSPORT_NAMES[Transport.fakeTcp]],
  auto: [TRANSPORT_NAMES[Transport.udp], TRANSPORT_NAMES[Transport.fakeTcp]],
} as const;

/** As a firewall names them. */
export function triedProtocols(transport: keyof typeof TRIED): string[] {
  return TRIED[transport].map((name) => name.replace("fake ", ""));
}

/** What the kernel says without a route, and with one by an interface that is down. */
const NO_ROUTE: ReadonlySet<string> = new Set(["ENETUNREACH", "EHOSTUNREACH", "ENETDOWN"]);

/** As in `no program listens on that port, says 192.0.2.1 (ICMP port unreachable): start the server, ...`. */
export function explainSilence(silence: Silence): string {
  const { refusal, sendError, unfitting, refusesOthers, protocols, port } = silence;
  if (unfitting > 0) {
    return "an answer arrived, but cannot be decrypted: the preshared keys differ: " +
      "set the same PresharedKey on both sides, or none";
  }
  if (sendError === "EPERM") {
    return "this host's own firewall blocks packets to it (EPERM): allow outgoing UDP, " +
      "or run `vpn cleanup` if a killed process left its kill switch";
  }
  if (sendError === "EAFNOSUPPORT") {
    return "this host's kernel has no IPv6 (EAFNOSUPPORT): give Endpoint an IPv4 address";
  }
  // What the kernel says of a route that leads nowhere, by its type (ip-route(8)): prohibit, blackhole.
  if (sendError === "EACCES" || sendError === "EINVAL") {
    return `a route of this host forbids it (${sendError}): see \`ip route get\` with its address, ` +
      "and delete the route of type prohibit or blackhole";
  }
  if (sendError !== null && NO_ROUTE.has(sendError)) {
    return `this host has no route to it (${sendError}): connect it to a network, or correct Endpoint`;
  }
  if (refusal !== null) return explainRefusal(refusal, port);
  if (refusesOthers) {
    return "its host rejects other ports but not this one: a server listens there and the keys do not match, or a firewall " +
      "drops only this port: check that each side has the other's public key, and both the same preshared key";
  }
  return "check that the server runs, that both public keys and the preshared key match, " +
    `and that no firewall drops ${protocols.join(" or ")} to that port`;
}

/** ICMP can be forged, so that is said as well. */
function explainRefusal({ kind, words, from }: Refusal, port: number): string {
  const source = `says ${formatAddress(from)} (ICMP ${words})`;
  switch (kind) {
    case "refused":
      return `no program listens on that port, ${source}: start the server, or correct the port in Endpoint`;
    case "unreachable":
      return `its host or network is unreachable, ${source}: ` +
        "check that the host is up, and the address in Endpoint";
    case "prohibited":
      return `a firewall blocks it, ${source}: open UDP port ${port} there`;
  }
}
