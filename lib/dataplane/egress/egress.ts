/**
 * Egress: a gateway's path to the internet within the data plane, by one family of addresses: the NAT, the sockets that
 * it sends by, the capture of the answers. The interface outside may come, go, and be another one while the gateway
 * runs.
 */
import type { PortRange } from "../../core/wire/port_range.ts";
import type { Arena } from "../../../ffi/arena.ts";
import { errnoName, SystemCallError } from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { CAPTURE_BUFFER_SIZE, PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import { NfQueue } from "../../../ffi/netlink/nftables/nfqueue.ts";
import type { Headers } from "../../core/nat/headers/headers.ts";
import { Nat } from "../../core/nat/nat.ts";
import type { NatForward, NatOptions, NatService } from "../../core/nat/nat_options.ts";
import type { BackEndFigures } from "../../core/nat/services/services.ts";
import type { NatSlice } from "../../core/nat/slices/owners.ts";
import { DEFAULT_CLIENT_QUOTA } from "../../core/nat/constants.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";
import { type HostAddress, type Ipv6Text, isIpv6 } from "../../core/wire/host_address.ts";
import { captureFilter, captureFilter6 } from "../filters/capture_filter.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { ArpResponder } from "./arp_responder.ts";
import { describePacket } from "./packet_trace.ts";
import { SegmentSender } from "./segment_sender.ts";
import type { PeerNatUsage } from "../workers/nat_usage.ts";

/** Packets captured in one call; each may be a super-packet of 64 KiB. */
const CAPTURE_BATCH = 16;
/**
 * Bytes of the longest packet outside that there is memory for, where the interfaces at the start take less:
 * Ethernet's.
 */
const LEAST_MTU = 1500;
const SOCKET_BUFFER_SIZE = 8 * 1024 * 1024;
/** Packets that a netfilter queue holds for us. */
const QUEUE_LENGTH = 4096;
/** Bytes for message headers and vectors. */
const CONTROL_SPACE = 64 * 1024;

/** The mark of packets that the NAT sends: exempt from connection tracking, and kept off the tunnel's own routes. */
export const EGRESS_MARK = 0x5650;

/** Of one family: that of the gateway's address inside. */
export interface EgressConfigOf<Address extends HostAddress> {
  /** The interface outside; null while there is none. */
  readonly external: ExternalLink<Address> | null;
  /** Bytes. */
  readonly innerMtu: number;
  readonly innerAddress: Address;
  readonly ports: PortRange;
  readonly filtering: "endpoint" | "address";
  readonly forwards: readonly NatForward<Address>[];
  /** Published besides, of IPv4, by one thread alone; and the secret by which their flows find back ends again. */
  readonly services: readonly NatService[];
  readonly serviceSeed: number;
  /** A packet socket, or the netfilter queue of this number and the one after it. */
  readonly capture: "packet" | { readonly queue: number };
}

export type EgressConfig = EgressConfigOf<number>;
export type EgressConfig6 = EgressConfigOf<Ipv6Text>;
type AnyEgressConfig = EgressConfigOf<HostAddress>;
type AnyLink = ExternalLink<HostAddress>;

/** Where captured packets come from: `PacketSocket` or `NfQueue`. */
interface Capture extends Disposable {
  readonly fd: number;
  readonly receivedOffsets: Int32Array;
  readonly receivedLengths: Int32Array;
  receive(): number;
  /** Packets lost so far because we were too slow. */
  drops(): number;
}

export class Egress implements Disposable {
  readonly nat: Nat;
  readonly capture: Capture;
  /** Its `fd` is readable when there is something for it to `serve()`. */
  readonly sender: SegmentSender;
  /** Its `fd` is readable when there is something for it to `serve()`; null where no service has its own address. */
  readonly arp: ArpResponder | null;
  /** Takes a line for each packet handed to the kernel; null for none. */
  trace: ((line: string) => void) | null = null;
  /** Packets refused, by client. */
  readonly #refusals = new WeakMap<object, number>();
  readonly #config: AnyEgressConfig;
  readonly #view: DataView;
  readonly #drops: DropCounters;
  /** What the sockets are bound to; null for nothing. */
  #external: AnyLink | null;
  /** Whether its packet socket is one of several that share what comes. */
  readonly #isShared: boolean;
  /** Offsets of packets that the interface has turned out not to take. */
  readonly #tooLong: number[] = [];
  #services: readonly NatService[];

  /** Bytes of arena that an egress takes. */
  static arenaSize(config: AnyEgressConfig): number {
    const capture = Math.max(CAPTURE_BATCH * CAPTURE_BUFFER_SIZE, NfQueue.arenaSize(CAPTURE_BATCH));
    return Nat.generatedSize(greatestMtu(config)) + capture + SegmentSender.arenaSize +
      CONTROL_SPACE + (virtualAddresses(config).length > 0 ? ArpResponder.arenaSize : 0);
  }

  /** @throws {SystemCallError} EPERM without CAP_NET_RAW, ENODEV where the interface is gone */
  constructor(
    libc: Libc,
    arena: Arena,
    { config, headers, clientToClient, offload, drops, clientOf, mtuOf, random, slice = null }: {
      config: AnyEgressConfig;
      /** Of the configuration's family; left out, IPv4's. */
      headers?: Headers;
      /** Whether one client may reach another by the external address. */
      clientToClient: boolean;
      /** Whether a flow's packets may leave merged. */
      offload: boolean;
      drops: DropCounters;
      clientOf: (address: number) => object | null;
      mtuOf: NonNullable<NatOptions["mtuOf"]>;
      random: () => number;
      /** Where several workers have the egress together: `setExternal()` is to follow then. */
      slice?: NatSlice | null;
    },
  ) {
    this.#drops = drops;
    this.#view = arena.view;
    this.#config = config;
    this.#services = config.services;
    const external = slice === null ? config.external : null;
    this.#external = external;
    this.#isShared = slice !== null;
    this.nat = new Nat({
      ...config,
      externalMtu: greatestMtu(config),
      ...headers && { headers },
      externalAddress: external?.address ?? null,
      memory: arena,
      drops,
      generated: arena.allocate(Nat.generatedSize(greatestMtu(config))),
      clientQuota: DEFAULT_CLIENT_QUOTA,
      clientToClient,
      onRefusal: (client) => this.#countRefusal(client as object | null),
      clientOf,
      mtuOf,
      random,
      slice,
    });
    if (external !== null) this.nat.externalMtu = external.mtu;
    using opened = new DisposableStack();
    this.sender = opened.use(SegmentSender.open(libc, arena, {
      mark: EGRESS_MARK,
      device: external,
      own: false,
      ipv6: isIpv6(config.innerAddress),
      offload,
      bufferSize: SOCKET_BUFFER_SIZE,
    }));
    this.sender.onTooLong = (packet) => this.#tooLong.push(packet);
    this.capture = opened.adopt(
      openCapture(libc, arena, { ...config, external }),
      (capture) => capture[Symbol.dispose](),
    );
    const addresses = virtualAddresses(config);
    this.arp = addresses.length === 0
      ? null
      : opened.use(new ArpResponder(libc, arena, { addresses, mark: EGRESS_MARK }));
    if (external !== null) this.arp?.move(external);
    opened.move();
  }

  /** Takes note that interfaces, addresses or routes have changed. */
  networkChanged(): void {
    this.sender.networkChanged();
    const mtu = this.#external === null ? null : this.sender.linkMtu(this.#external.link);
    if (mtu !== null) this.nat.externalMtu = mtu;
  }

  /** An interface (by index) has gone: what was bound to it serves nothing any more, not even one of the same name. */
  linkRemoved(link: number): void {
    if (this.#external?.link === link) this.#external = null;
  }

  /**
   * Follows the gateway to another interface or address outside, as DHCP, a redial or a failover makes it; null while
   * there is none. Mappings keep their ports. Does nothing where all is so already.
   *
   * @param share has the capture's new socket, where there is one, share what comes with others
   */
  setExternal(external: AnyLink | null, share: (fd: number) => void = () => {}): void {
    const before = this.#external;
    const isSameLink = before?.link === external?.link && before?.name === external?.name;
    if (isSameLink && before?.address === external?.address) return;
    this.#external = null;
    if (external === null) return;
    try {
      if (!isSameLink) {
        this.sender.setDevice(external);
        this.arp?.move(external);
      }
      this.#setCapture(external, isSameLink, share);
    } catch (error) {
      // It has gone, or down, again: the next notification says what there is then.
      if (error instanceof SystemCallError) return;
      throw error;
    }
    this.nat.externalAddress = external.address;
    this.#external = external;
    this.networkChanged();
  }

  /** Whether there is an interface outside. */
  get hasExternal(): boolean {
    return this.#external !== null;
  }

  #setCapture(external: AnyLink, isSameLink: boolean, share: (fd: number) => void): void {
    // The queues are not an interface's: the firewall's rules say what comes by them.
    if (!(this.capture instanceof PacketSocket)) return;
    const filter = filterFor(this.#config, external);
    if (!isSameLink && !this.#isShared) {
      this.capture.move(external, filter);
      return;
    }
    if (!isSameLink) {
      this.capture.reopen(external);
      share(this.capture.fd);
    }
    this.capture.setFilter(filter);
  }

  /**
   * Sends what the NAT has for outside. What the socket has no room for is dropped, as a router's full queue drops it:
   * the senders' own congestion control is what answers to that. What this leaves for clients, `nat.inside` has.
   */
  flush(now: number): void {
    const { outside } = this.nat;
    if (outside.length === 0) return;
    if (this.#external === null) {
      // Unbound, or bound to what has gone: they must not leave by any other interface.
      for (let i = 0; i < outside.length; i++) {
        this.#drops.add(DropReason.noEgress, outside.lengths[i]);
      }
      outside.clear();
      return;
    }
    const errors = this.sender.errorCount;
    const sent = this.sender.send(outside, 0, outside.length, now);
    if (this.trace !== null) this.#traceSent(this.trace, errors === this.sender.errorCount);
    for (let i = errors; i < this.sender.errorCount; i++) this.#drops.add(DropReason.sendError);
    for (let i = sent; i < outside.length; i++) {
      this.#drops.add(DropReason.sendQueueFull, outside.lengths[i]);
    }
    outside.clear();
    if (this.#tooLong.length > 0) this.#refuseTooLong(now);
  }

  /** The interface takes less than before, and the notification has still to come: the clients are told by us. */
  #refuseTooLong(now: number): void {
    this.networkChanged();
    for (const packet of this.#tooLong) this.nat.refuseSent(packet, now);
    this.#tooLong.length = 0;
  }

  /** ms at which `poll()` is due. */
  pollAt(): number {
    return Math.min(this.nat.pollAt(), this.sender.pollAt());
  }

  poll(now: number): void {
    this.nat.poll(now);
    this.sender.poll(now);
  }

  /** Has published services handed to these back ends from now on. */
  setServices(services: readonly NatService[]): void {
    this.#services = services;
    this.nat.setServices(services);
  }

  serviceFigures(): BackEndFigures[] {
    return this.nat.serviceFigures(this.#services);
  }

  /** What a client holds of the NAT, and how many of its packets were refused as it had no room left. */
  usageOf(client: object): PeerNatUsage {
    return { ...this.nat.usageOf(client), refused: this.#refusals.get(client) ?? 0 };
  }

  #countRefusal(client: object | null): void {
    if (client !== null) this.#refusals.set(client, (this.#refusals.get(client) ?? 0) + 1);
  }

  /** How many packets the kernel refused, by the name of the error. */
  sendErrors(): Record<string, number> {
    return Object.fromEntries(
      Array.from(this.sender.errors, ([errno, count]) => [errnoName(errno), count]),
    );
  }

  /** The kernel has put total length, id and checksum into its own copies; all else is as it stands here. */
  #traceSent(trace: (line: string) => void, allTaken: boolean): void {
    const { outside } = this.nat;
    for (let i = 0; i < outside.length; i++) {
      const packet = describePacket(this.#view, outside.offsets[i], outside.lengths[i]);
      trace(`${allTaken ? "sent" : "sent, or refused,"} ${packet}`);
    }
  }

  [Symbol.dispose](): void {
    this.sender[Symbol.dispose]();
    this.capture[Symbol.dispose]();
    this.arp?.[Symbol.dispose]();
  }
}

function openCapture(libc: Libc, arena: Arena, config: AnyEgressConfig): Capture {
  const shared = { batch: CAPTURE_BATCH, bufferSize: SOCKET_BUFFER_SIZE };
  if (config.capture !== "packet") {
    return NfQueue.open(libc, arena, { ...shared, ...config.capture, length: QUEUE_LENGTH });
  }
  const { external } = config;
  return PacketSocket.open(libc, arena, {
    ...shared,
    ...external ?? { link: "none" },
    filter: filterFor(config, external),
  });
}

/** Without an interface nothing is captured: no packet is for an address of zeros. */
function filterFor(config: AnyEgressConfig, external: AnyLink | null): BpfInstruction[] {
  const { linkHeaderSize = 0, address = isIpv6(config.innerAddress) ? "::" : 0 } = external ?? {};
  const ports = capturedPorts(config);
  return isIpv6(address)
    ? captureFilter6(address, ports, linkHeaderSize)
    : captureFilter(address, ports, linkHeaderSize, virtualAddresses(config));
}

/** Bytes of the longest packet that the NAT has memory for. */
function greatestMtu({ external, innerMtu }: AnyEgressConfig): number {
  return Math.max(external?.mtu ?? 0, innerMtu, LEAST_MTU);
}

/** The ports, by protocol, whose packets are the NAT's and must not reach the host's stack. */
export function capturedPorts(
  config: Pick<AnyEgressConfig, "ports"> & {
    readonly forwards: readonly Pick<NatForward, "protocol" | "externalPort">[];
    readonly services: readonly Omit<NatService, "method" | "backEnds">[];
  },
): { tcp: PortRange[]; udp: PortRange[] } {
  const of = (protocol: "tcp" | "udp") => [
    config.ports,
    ...[...config.forwards, ...config.services.filter((each) => each.externalAddress === null)]
      .filter((each) => each.protocol === protocol)
      .filter(({ externalPort: port }) => port < config.ports.first || port > config.ports.last)
      .map(({ externalPort: port }) => ({ first: port, last: port })),
  ];
  return { tcp: of("tcp"), udp: of("udp") };
}

/** The addresses that services have for themselves, each once: no packet for them must reach the host's stack. */
export function virtualAddresses(
  { services }: { readonly services: readonly Pick<NatService, "externalAddress">[] },
): number[] {
  return [...new Set(services.flatMap(({ externalAddress }) => externalAddress ?? []))];
}
