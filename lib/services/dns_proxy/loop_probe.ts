/**
 * Loop probe: finds out whether a resolver on this host asks the DNS proxy in its turn, as systemd-resolved or dnsmasq
 * do that were told of the gateway: no question would ever be answered. It is asked for a name that nobody else knows;
 * a loop brings that name back. Resolvers elsewhere do not reach the proxy, whose address is inside the tunnel.
 */
import { randomInt } from "node:crypto";
import { openLibc } from "../../../ffi/libc.ts";
import { RouteType } from "../../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { addressBytes, formatAddress, type HostAddress } from "../../core/wire/host_address.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { lookUpDirectly } from "../../host/dns/direct_lookup.ts";

/** ms that a question may take until it is back; a loop within a host takes far less. */
const LIMIT = 500;
/** Digits, of which there is but one spelling: resolvers play with upper and lower case. */
const DIGITS = 24;
/** Reserved for what is like documentation (RFC 2606). */
const DOMAIN = "example.net";

export class LoopProbe {
  readonly #marks = new Map<
    HostAddress,
    { readonly label: Uint8Array; readonly seen: () => void }
  >();

  /** Takes note of a query for the proxy. Costs nothing but while resolvers are being probed. */
  see(query: Uint8Array): void {
    for (const { label, seen } of this.#marks.values()) {
      if (contains(query, label)) seen();
    }
  }

  /**
   * @throws {AppError} with exit code 2 where one of them leads back
   */
  async refuseLoops(resolvers: readonly HostAddress[]): Promise<void> {
    await Promise.all(resolvers.filter(isOfThisHost).map((resolver) => this.#probe(resolver)));
  }

  async #probe(resolver: HostAddress): Promise<void> {
    const digits = Array.from({ length: DIGITS }, () => randomInt(10)).join("");
    const { promise: loop, resolve } = Promise.withResolvers<"loop">();
    this.#marks.set(resolver, {
      label: new TextEncoder().encode(digits),
      seen: () => resolve("loop"),
    });
    try {
      const answer = lookUpDirectly(`${digits}.${DOMAIN}`, {
        nameServers: [{ address: resolver }],
        mark: 0,
        timeout: LIMIT,
      });
      if (await Promise.race([answer, loop]) !== "loop") return;
    } finally {
      this.#marks.delete(resolver);
    }
    throw new AppError(
      `Cannot use DnsProxy = ${
        formatAddress(resolver)
      }: this resolver of the host sends its queries to the proxy itself, so no ` +
        "query would be answered: give another resolver, as in 9.9.9.9",
      { exitCode: ExitCode.usage },
    );
  }
}

function isOfThisHost(address: HostAddress): boolean {
  using netlink = Rtnetlink.open(openLibc());
  try {
    return netlink.routes.lookup(addressBytes(address)).type === RouteType.local;
  } catch (error) {
    if (error instanceof NetlinkError) return false;
    throw error;
  }
}

function contains(bytes: Uint8Array, part: Uint8Array): boolean {
  for (let at = 0; at + part.length <= bytes.length; at++) {
    if (part.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}
