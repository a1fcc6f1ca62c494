/**
 * Egresses: the paths to the internet of a thread that has the packets, by the families that are translated there, and
 * what is asked of all together.
 */
import { randomBytes } from "node:crypto";
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { Ipv6Headers } from "../../core/nat/headers/ipv6_headers.ts";
import type { DropCounters } from "../../core/wire/drop_reason.ts";
import type { ReplicatedFlows } from "../../core/nat/replicas/replicated_flows.ts";
import type { NatSlice } from "../../core/nat/slices/owners.ts";
import type { AllowedIps } from "../../core/wireguard/allowed_ips.ts";
import type { AllowedIps6 } from "../../core/wireguard/allowed_ips6.ts";
import type { PacketPeer } from "../../core/wireguard/packet_peer.ts";
import type { PeerNatUsage } from "../workers/nat_usage.ts";
import { Egress, type EgressConfig, type EgressConfig6 } from "./egress.ts";

export interface EgressesOptions<Peer extends PacketPeer> {
  /** Null where nothing of the family is translated; of IPv6 nothing is where nothing of IPv4 is. */
  readonly config: EgressConfig | null;
  readonly config6: EgressConfig6 | null;
  readonly clientToClient: boolean;
  readonly offload: boolean;
  /** Inner MTU in bytes. */
  readonly mtu: number;
  readonly drops: DropCounters;
  /** Who the peers are. */
  readonly device: {
    readonly allowedIps: AllowedIps<Peer>;
    readonly allowedIps6: AllowedIps6<Peer>;
  };
  /** What makes it one of several, see `NatSlice`; left out, it is alone. */
  readonly slice?: Omit<NatSlice, "workerOf"> & { readonly workerOf: (peer: Peer) => number };
  /** Whether another gateway is to go on with flows of IPv4. */
  readonly isReplicated?: boolean;
}

export class Egresses<Peer extends PacketPeer = PacketPeer> implements Disposable {
  readonly ipv4: Egress | null;
  readonly ipv6: Egress | null;
  /** The flows of IPv4, for another gateway; null where none is to go on with them. */
  readonly replicas: ReplicatedFlows | null;
  /** Those that are there. */
  readonly all: readonly Egress[];

  /** Bytes of arena that they take. */
  static arenaSize(config: EgressConfig | null, config6: EgressConfig6 | null): number {
    return (config === null ? 0 : Egress.arenaSize(config)) +
      (config6 === null ? 0 : Egress.arenaSize(config6));
  }

  /** @throws {SystemCallError} EPERM without CAP_NET_RAW, ENODEV where an interface is gone */
  constructor(libc: Libc, arena: Arena, options: EgressesOptions<Peer>) {
    const { config, config6, device: { allowedIps, allowedIps6 }, mtu, slice } = options;
    const random = () => randomBytes(4).readUInt32LE();
    const sliceBy = (peerOf: (address: number) => Peer | null): NatSlice | null =>
      slice === undefined ? null : {
        ...slice,
        workerOf: (address) => {
          const peer = peerOf(address);
          return peer === null ? -1 : slice.workerOf(peer);
        },
      };
    using opened = new DisposableStack();
    this.ipv4 = config && opened.use(
      new Egress(libc, arena, {
        ...options,
        config,
        clientOf: (address) => allowedIps.lookup(address),
        mtuOf: (address) => allowedIps.lookup(address)?.mtu ?? mtu,
        random,
        slice: sliceBy((address) => allowedIps.lookup(address)),
      }),
    );
    this.replicas = options.isReplicated ? this.ipv4?.nat.replicate() ?? null : null;
    const headers = config6 && new Ipv6Headers(arena, random());
    const peerOf = (address: number) => {
      const { holds } = headers!;
      return allowedIps6.lookup(holds.view, holds.offsetOf(address));
    };
    this.ipv6 = config6 && opened.use(
      new Egress(libc, arena, {
        ...options,
        config: config6,
        headers: headers!,
        clientOf: peerOf,
        mtuOf: (address) => peerOf(address)?.mtu ?? mtu,
        random,
        slice: sliceBy(peerOf),
      }),
    );
    this.all = [this.ipv4, this.ipv6].filter((each) => each !== null);
    opened.move();
  }

  /** Whether one client may reach another by the external addresses. */
  set clientToClient(allowed: boolean) {
    for (const { nat } of this.all) nat.clientToClient = allowed;
  }

  /** Takes a line for each packet handed to the kernel; null for none. */
  set trace(trace: ((line: string) => void) | null) {
    for (const each of this.all) each.trace = trace;
  }

  /** Takes note that interfaces, addresses or routes have changed. */
  networkChanged(): void {
    for (const each of this.all) each.networkChanged();
  }

  /** Takes note that an interface (by index) has gone. */
  linkRemoved(link: number): void {
    for (const each of this.all) each.linkRemoved(link);
  }

  /** Takes all that it holds of the NATs from a client that is gone. */
  releaseClient(client: object, now: number): void {
    for (const { nat } of this.all) nat.releaseClient(client, now);
  }

  /** ms at which `poll()` is due. */
  pollAt(): number {
    let at = Infinity;
    for (let i = 0; i < this.all.length; i++) at = Math.min(at, this.all[i].pollAt());
    return at;
  }

  poll(now: number): void {
    for (let i = 0; i < this.all.length; i++) this.all[i].poll(now);
  }

  // Figures.

  get mappingCount(): number {
    return this.#sum(({ nat }) => nat.mappingCount);
  }

  get sessionCount(): number {
    return this.#sum(({ nat }) => nat.sessionCount);
  }

  /** Packets lost as they came faster than they were taken. */
  captureDrops(): number {
    return this.#sum(({ capture }) => capture.drops());
  }

  /** How many packets the kernel refused. */
  get refusedCount(): number {
    let count = 0;
    for (let i = 0; i < this.all.length; i++) count += this.all[i].sender.errorCount;
    return count;
  }

  /** How many packets the kernel refused, by the name of the error. */
  sendErrors(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [name, count] of this.all.flatMap((each) => Object.entries(each.sendErrors()))) {
      counts[name] = (counts[name] ?? 0) + count;
    }
    return counts;
  }

  /** What a client holds of the NATs; null where there is none. */
  usageOf(client: object): PeerNatUsage | null {
    if (this.all.length === 0) return null;
    const usages = this.all.map((each) => each.usageOf(client));
    return usages.reduce((a, b) => ({
      ports: a.ports + b.ports,
      sessions: a.sessions + b.sessions,
      refused: a.refused + b.refused,
    }));
  }

  #sum(count: (egress: Egress) => number): number {
    return this.all.reduce((total, each) => total + count(each), 0);
  }

  [Symbol.dispose](): void {
    for (const each of this.all) each[Symbol.dispose]();
  }
}
