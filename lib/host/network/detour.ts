/**
 * Detours: a rule or a route that another program has put before ours, by which what a full tunnel should carry leaves
 * in the clear. Nothing of ours is lost then, and whose it is cannot be known: it is told of, and left to a person.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { type AddressFamily, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import type { Fixture } from "../upkeep/fixture.ts";

/** Addresses far from any host's own networks; in both halves, as some VPNs replace a default route by two routes. */
const PROBES = {
  ipv4: ["1.1.1.1", "193.0.0.1"],
  ipv6: ["2001:7fd::1"],
};

export interface DetourOptions {
  readonly family: AddressFamily;
  /** Name of the TUN. */
  readonly device: string;
  /** SO_MARK of the tunnel's own datagrams. */
  readonly mark: number;
}

/** What packets take another way than the tunnel; no more than that can be done about it. */
export class Detour implements Fixture {
  readonly isPolled = false;
  readonly yieldsToPostUp = false;
  readonly isOfOthers = true;
  readonly #options: DetourOptions;

  constructor(options: DetourOptions) {
    this.#options = options;
  }

  missing(): readonly string[] {
    const { family, device, mark } = this.#options;
    using netlink = Rtnetlink.open(openLibc());
    for (const probe of PROBES[family === AF_INET ? "ipv4" : "ipv6"]) {
      const link = linkTo(netlink, probe, 0);
      // By the way of the tunnel's own datagrams: by another tunnel's device, it is not in the clear.
      if (link === null || link !== linkTo(netlink, probe, mark)) continue;
      const name = netlink.links.find(link)?.name ?? `link ${link}`;
      return [`the routes through ${device} (packets to ${probe} go through ${name})`];
    }
    return [];
  }

  putBack(): void {
    throw new Error("a rule or route of another program takes precedence over ours");
  }
}

/** Index of the link that packets to an address leave by; null where they do not. */
function linkTo(netlink: Rtnetlink, address: string, mark: number): number | null {
  try {
    return netlink.routes.lookup(parseIp(address), { mark }).link;
  } catch (error) {
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}
