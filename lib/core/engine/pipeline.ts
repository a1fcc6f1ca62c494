/**
 * Packet pipeline: the path of a packet through the core, by where it comes from:
 *
 * 1. from the network (from_network.ts): a message is taken apart, authenticated and decrypted by the device; the
 *    packet in it is checked as IPv4, and its source against the peer's allowed IPs; the router decides where it goes;
 * 2. from the host (from_host.ts): a packet is checked as IPv4, the router finds its peer; a super-packet is split;
 * 3. from outside (from_outside.ts): a captured packet is checked as IPv4, the NAT finds its client;
 * 4. from another gateway of the fleet (from_gateway.ts): a packet for a peer that has its session here;
 * 5. onward (onward.ts): into the queue for the host, or sealed by the device into the send queue, in fragments where
 *    the path to the peer takes no more (divider.ts);
 * 6. on the way from or to a peer with a rate limit (shaping.ts), what is over it waits.
 *
 * Of IPv6, which the tunnel may carry besides, inner_ipv6.ts does the same from the check on; what is captured outside
 * takes the same way as IPv4, by a NAT of its own.
 *
 * No I/O, no clock: bytes and the time come in, effects are left in the two queues, drops are counted by reason.
 */
import type { AccessControl } from "../access/access_control.ts";
import { InboundFlows } from "../access/inbound_flows.ts";
import { Prohibition, PROHIBITION_SIZE } from "../access/prohibition.ts";
import type { Nat } from "../nat/nat.ts";
import { SPLITTER_SCRATCH_SIZE } from "../offload/splitter.ts";
import { VNET_HEADER_SIZE } from "../offload/virtio_net_header.ts";
import { ICMPV6_ERROR_SIZE, Icmpv6Errors } from "../routing/icmpv6_errors.ts";
import { PATH_ADVICE_SIZE, PathAdvice } from "../routing/path_advice.ts";
import type { Router } from "../routing/router.ts";
import type { ShaperRegion } from "../limits/shaper.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import type { DropCounters } from "../wire/drop_reason.ts";
import { isIpv6 } from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketQueue } from "../wire/packet_queue.ts";
import type { PacketDevice, PacketPeer } from "../wireguard/packet_peer.ts";
import { Divider, DIVIDER_SCRATCH_SIZE } from "./divider.ts";
import type { ForOutside } from "./for_outside.ts";
import { FromGateway } from "./from_gateway.ts";
import { FromHost } from "./from_host.ts";
import { FromNetwork } from "./from_network.ts";
import { FromOutside } from "./from_outside.ts";
import { InnerIpv6 } from "./inner_ipv6.ts";
import { Onward } from "./onward.ts";
import { type OutsideFamily, OutsideIpv4, OutsideIpv6 } from "./outside_family.ts";
import { Shaping } from "./shaping.ts";
import { SplitUnderWay } from "./split_under_way.ts";

export interface PipelineOptions {
  readonly memory: Memory;
  readonly device: PacketDevice;
  readonly router: Router;
  readonly sendQueue: SendQueue;
  /** Takes the packets for this host. */
  readonly hostQueue: PacketQueue;
  readonly drops: DropCounters;
  /** Translates what goes outside; null where nothing does. */
  readonly nat: Nat | null;
  /** The same of IPv6, by the router's word; left out, nothing. */
  readonly nat6?: Nat | null;
  /** Takes what is for outside where another worker translates; left out, nothing does, or this one. */
  readonly forOutside?: ForOutside | null;
  /** The rules of peers; left out where there are none to be, as at a client. */
  readonly access?: AccessControl;
  /** Offset of `PIPELINE_SCRATCH_SIZE` bytes of the memory, a multiple of 64. */
  readonly scratch: number;
  /** 32 random bits, which strangers must not know. */
  readonly seed: number;
  /** Where packets wait for their peer's rate, of the memory; nowhere if left out. */
  readonly shaping?: ShaperRegion;
  /** The table of flows that clients may answer, where threads have one together; of this thread's own if left out. */
  readonly inboundFlows?: SharedArrayBuffer;
}

/** Where nothing waits: what is over a rate is dropped. */
const NOWHERE: ShaperRegion = { offset: 0, slots: 0, slotSize: 0 };

export const PIPELINE_SCRATCH_SIZE: number = PATH_ADVICE_SIZE + 3 * SPLITTER_SCRATCH_SIZE +
  ICMPV6_ERROR_SIZE + PROHIBITION_SIZE + DIVIDER_SCRATCH_SIZE;

export class Pipeline {
  /** What waits for its peer's rate. */
  readonly shaping: Shaping;
  readonly fromNetwork: FromNetwork;
  readonly fromHost: FromHost;
  readonly fromGateway: FromGateway;
  /** Null where nothing is translated. */
  readonly fromOutside: FromOutside | null;
  readonly fromOutside6: FromOutside | null;
  /** Divides what is too long for the path to a peer. */
  readonly divider: Divider;
  readonly #view: DataView;
  readonly #ipv6: InnerIpv6 | null;

  constructor(options: PipelineOptions) {
    const { memory, scratch, nat, nat6 = null, router } = options;
    this.#view = memory.view;
    const advice = new PathAdvice(memory, scratch);
    const access = options.access ?? null;
    const shaping = this.shaping = new Shaping({
      ...options,
      shaping: options.shaping ?? NOWHERE,
      onRelease: (peer, offset, length, now) => this.goOn(peer, offset, length, now),
    });
    const splitScratch = scratch + PATH_ADVICE_SIZE;
    const errorsOffset = splitScratch + 3 * SPLITTER_SCRATCH_SIZE;
    const prohibitionOffset = errorsOffset + ICMPV6_ERROR_SIZE;
    const dividerScratch = prohibitionOffset + PROHIBITION_SIZE;
    const divider = this.divider = new Divider({ ...options, shaping, scratch: dividerScratch });
    const onward = new Onward({ ...options, view: memory.view, advice, shaping, divider, access });
    const inboundFlows = new InboundFlows(memory.view, options.seed, options.inboundFlows);
    const split = new SplitUnderWay({ ...options, shaping, divider, scratch: splitScratch });
    const forOutside = options.forOutside ?? null;
    const ipv6 = this.#ipv6 = router.ipv6 === null ? null : new InnerIpv6({
      ...options,
      forOutside,
      shaping,
      onward,
      nat: nat6,
      router: router.ipv6,
      access,
      errors: new Icmpv6Errors(memory, errorsOffset, router.ipv6.ownAddress),
      split,
    });
    const shared = { ...options, onward, shaping, inboundFlows, ipv6, access, forOutside };
    const prohibition = new Prohibition(memory, prohibitionOffset);
    this.fromNetwork = new FromNetwork({ ...shared, prohibition });
    this.fromHost = new FromHost({ ...shared, split });
    this.fromGateway = new FromGateway(shared);
    const fromOutside = (of: Nat, family: OutsideFamily, number: number) =>
      new FromOutside({
        ...shared,
        nat: of,
        family,
        split: new SplitUnderWay({
          ...options,
          shaping,
          divider,
          scratch: splitScratch + number * SPLITTER_SCRATCH_SIZE,
        }),
      });
    this.fromOutside = nat === null
      ? null
      : fromOutside(nat, new OutsideIpv4({ ...shared, nat }), 1);
    this.fromOutside6 = nat6 === null || router.ipv6 === null
      ? null
      : fromOutside(nat6, new OutsideIpv6({ memory, router: router.ipv6 }), 2);
  }

  /** Goes on with a packet of a peer's that has been checked, and is within its rate; `length` as its header says. */
  goOn(peer: PacketPeer, offset: number, length: number, now: number): void {
    const to = this.#ipv6 !== null && isIpv6(this.#view, offset) ? this.#ipv6 : this.fromNetwork;
    to.goOn(peer, offset, length, now);
  }

  /** What has a packet, behind a virtio-net header at `offset`, that another worker has handed over. */
  fromOthers(offset: number): FromOutside | null {
    return isIpv6(this.#view, offset + VNET_HEADER_SIZE) ? this.fromOutside6 : this.fromOutside;
  }

  /** Whether packets of a super-packet wait for room in the send queue: `sendSplit()` goes on with them. */
  get hasSplit(): boolean {
    return this.fromHost.split.hasMore || (this.fromOutside?.split.hasMore ?? false) ||
      (this.fromOutside6?.split.hasMore ?? false);
  }

  /** Sends the packets of super-packets under way, as many as the send queue has room for. */
  sendSplit(now: number): void {
    this.fromHost.split.resume(now);
    this.fromOutside?.split.resume(now);
    this.fromOutside6?.split.resume(now);
  }
}
