/** Where back ends of published services are now: in the tunnel, as peers are, or outside. */
import type { ForwardBackEnd, PortForward } from "../../core/config/config.ts";
import { type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";

/** A peer that has access. */
export interface PlacedPeer {
  readonly name: string | null;
  readonly allowedIps: readonly Ipv4Prefix[];
}

export interface BackEndPlace {
  /** Host order; null for nowhere. */
  readonly address: number | null;
  readonly isOutside: boolean;
  /** Public key in base64 of the peer that is, or has, the back end; null outside. */
  readonly peer: string | null;
  /** Why it is nowhere; null where it is somewhere. */
  readonly problem: string | null;
}

/** A service whose back ends are to be placed. */
interface PlacedService {
  readonly forward: Pick<PortForward, "protocol">;
  readonly backEnds: readonly { readonly configured: ForwardBackEnd; place: BackEndPlace }[];
}

/** Who has which address; made once for each change of the peers. */
export class BackEndPlaces {
  readonly #names = new Map<string, { readonly key: string; readonly address: number | null }>();
  readonly #hosts = new Map<number, string>();
  /** Of more than one address, the longest first. */
  readonly #networks: { readonly prefix: Ipv4Prefix; readonly key: string | null }[] = [];

  /**
   * @param peers by public key in base64
   * @param addresses the gateway's inside, with their networks
   */
  constructor(peers: ReadonlyMap<string, PlacedPeer>, addresses: readonly Ipv4Prefix[]) {
    for (const [key, { name, allowedIps }] of peers) {
      const own = allowedIps.find(({ prefixLength }) => prefixLength === 32);
      if (name !== null) this.#names.set(name, { key, address: own?.address ?? null });
      for (const prefix of allowedIps) {
        if (prefix.prefixLength === 32) this.#hosts.set(prefix.address, key);
        else this.#networks.push({ prefix, key });
      }
    }
    for (const prefix of addresses) this.#networks.push({ prefix, key: null });
    // Of two of one length, a peer's is used.
    this.#networks.sort((a, b) => b.prefix.prefixLength - a.prefix.prefixLength);
  }

  of({ peer: name, address }: ForwardBackEnd): BackEndPlace {
    if (name !== null) {
      const known = this.#names.get(name);
      if (known === undefined) return nowhere("there is no such peer, or it has no access");
      if (known.address === null) return nowhere("the peer has no IPv4 address of its own");
      return { address: known.address, isOutside: false, peer: known.key, problem: null };
    }
    const host = this.#hosts.get(address!);
    const network = host === undefined
      ? this.#networks.find(({ prefix }) => contains(prefix, address!))
      : { key: host };
    if (network === undefined) return { address, isOutside: true, peer: null, problem: null };
    if (network.key === null) return nowhere("no peer with access has this address");
    return { address, isOutside: false, peer: network.key, problem: null };
  }

  /**
   * Places the back ends of all services, in their order: of two at one endpoint, as one is by its name and the other
   * by its address, the second is nowhere, as whose flow a packet from there is could not be told.
   */
  placeAll(services: readonly PlacedService[]): void {
    const taken = new Set<string>();
    for (const { forward: { protocol }, backEnds } of services) {
      for (const backEnd of backEnds) {
        const { configured } = backEnd;
        const place = this.of(configured);
        const endpoint = `${protocol} ${place.address} ${configured.port}`;
        const isTaken = place.address !== null && taken.has(endpoint);
        backEnd.place = isTaken
          ? nowhere(`a back end before it, of this or another service, is there as well`)
          : place;
        taken.add(endpoint);
      }
    }
  }

  /** Whether a forward is to one address in the tunnel, at the gateway's own: there is nothing to decide about it. */
  isPlain({ backEnds, externalAddress }: PortForward): boolean {
    const [first] = backEnds;
    return backEnds.length === 1 && externalAddress === null && first.address !== null &&
      !this.of(first).isOutside;
  }
}

function nowhere(problem: string): BackEndPlace {
  return { address: null, isOutside: false, peer: null, problem };
}

function contains({ address, prefixLength }: Ipv4Prefix, inner: number): boolean {
  return ((address ^ inner) & prefixMask(prefixLength)) === 0;
}
