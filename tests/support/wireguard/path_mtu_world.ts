/** A path between two devices as the kernel and the network make one, and a search for its MTU. */
import { PATH_OVERHEAD, PathMtuSearch } from "../../../lib/core/wireguard/path/path_mtu.ts";
import { PathClaim } from "../../../lib/core/wireguard/path/path_claim.ts";
import type { Peer } from "../../../lib/core/wireguard/peer.ts";
import { assert, assertEquals } from "../assert.ts";
import type { TunnelPair } from "../packets/tunnel_pair.ts";

export const MAX_MTU = 1420;

/** A path as the kernel and the network make one. */
interface Path {
  /** What the narrowest link takes. */
  mtu: number;
  /** Whether a router tells, when DF keeps a packet from going on. */
  readonly tells: boolean;
  /** What the kernel knows: the first link, or what it was told. */
  known: number;
  /** Whether a router says itself, by ICMP, what it takes; and then something else than the truth. */
  readonly claims?: boolean;
  readonly lie?: number;
  /** Whether the path is in use already, and is only to be looked at again. */
  readonly isInUse?: boolean;
  /** Whether the peer is of another kind: nothing answers. */
  readonly isStock?: boolean;
}

/** What a router that has seen a probe to this peer says of it. */
export function claimAbout({ endpoint, current }: Peer, mtu: number): PathClaim {
  const { address, port } = endpoint;
  return Object.assign(new PathClaim(), {
    mtu,
    address,
    port,
    remoteIndex: current?.remoteIndex ?? 0,
  });
}

/**
 * Looks at the client's path to the gateway, as the data plane does, until the search ends. Returns the probes'
 * lengths.
 */
export function look({ client, gateway, toGateway, simulation }: TunnelPair, path: Path): number[] {
  const search = new PathMtuSearch(MAX_MTU);
  const lengths: number[] = [];
  if (path.isInUse) search.confirm(toGateway, simulation.now);
  else search.start(toGateway, simulation.now);
  while (search.pollAt() < Infinity) {
    simulation.run(Math.max(0, search.pollAt() - simulation.now));
    for (
      let peer = search.next(simulation.now);
      peer !== null;
      peer = search.next(simulation.now)
    ) {
      for (const length of search.looked(peer, path.known, simulation.now)) {
        lengths.push(length);
        if (length + PATH_OVERHEAD > path.known) continue;
        if (length + PATH_OVERHEAD > path.mtu) {
          if (path.tells) path.known = path.mtu;
          if (path.claims) search.claimed(claimAbout(peer, path.mtu), simulation.now);
          continue;
        }
        if (path.lie) search.claimed(claimAbout(peer, path.lie), simulation.now);
        if (path.isStock) continue;
        assert(client.device.sendProbe(peer, length, simulation.now));
        client.poll();
      }
    }
  }
  assertEquals(gateway.tun.written, []);
  return lengths;
}
