/**
 * Data-plane build: opens what a data plane is made of, and joins the parts. All that is opened goes into one stack, so
 * that a failure half-way leaves no descriptor behind.
 */
import { Arena } from "../../ffi/arena.ts";
import { EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import { openBoringssl } from "../../ffi/crypto/boringssl.ts";
import { boringsslNames } from "../../ffi/crypto/boringssl_library.ts";
import { openIpsecMb } from "../../ffi/crypto/ipsec_mb.ts";
import { openLibcrypto } from "../../ffi/crypto/libcrypto.ts";
import { openX25519 } from "../../ffi/crypto/libcrypto_x25519.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { RouteMonitor } from "../../ffi/netlink/monitor.ts";
import { RECEIVE_BUFFER_SIZE } from "../../ffi/sockets/udp_buffers.ts";
import type { UdpSocket } from "../../ffi/sockets/udp_socket.ts";
import { AccessControl } from "../core/access/access_control.ts";
import { Engine, ENGINE_SCRATCH_SIZE, MAX_MERGED } from "../core/engine/engine.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../core/engine/pipeline.ts";
import { shapingRegion } from "../core/engine/shaping.ts";
import type { ShaperRegion } from "../core/limits/shaper.ts";
import type { AeadProvider } from "../core/noise/aead.ts";
import { createBuiltinAead } from "../core/noise/aead_builtin.ts";
import type { X25519Provider } from "../core/noise/key_pair.ts";
import { builtinX25519 } from "../core/noise/x25519.ts";
import { Router } from "../core/routing/router.ts";
import { SendQueue } from "../core/transport/send_queue.ts";
import { DropCounters } from "../core/wire/drop_reason.ts";
import { KEY_SIZE, TRANSPORT_OVERHEAD } from "../core/wire/messages.ts";
import { PacketQueue } from "../core/wire/packet_queue.ts";
import { Device } from "../core/wireguard/device.ts";
import { Elsewhere } from "../core/wireguard/elsewhere.ts";
import { VERSION } from "../process/version.ts";
import type { DataPlaneConfig, Reporter } from "./data_plane_protocol.ts";
import type { EgressConfig, EgressConfig6 } from "./egress/egress.ts";
import { Egresses } from "./egress/egresses.ts";
import { EventLoop } from "./event_loop.ts";
import { FlowMetering } from "./flow_metering.ts";
import { FleetNode } from "./fleet/fleet_node.ts";
import { FakeTcpLink } from "./fake_tcp/fake_tcp_link.ts";
import { EgressPort } from "./ports/egress_port.ts";
import { UdpPort } from "./ports/udp_port.ts";
import { openTunnelSockets } from "./tunnel_sockets.ts";
import { DeviceSide } from "./workers/device_side.ts";
import { randomBytes } from "node:crypto";

/** Messages that one receive or send call handles; each may hold many datagrams. */
export const BATCH = 16;
/** Datagrams that one received message may hold: senders of Linux 6.9 and later put 128 into one. */
export const MAX_RECEIVED = 128;
/** Slots of the send queue. One TUN read makes at most 64 datagrams, so a quarter is kept free for it. */
export const SEND_SLOTS: number = 4 * MAX_MERGED;
/** Wanted socket buffers: some 20 ms at 3 Gbit/s. */
export const SOCKET_BUFFER_SIZE: number = 8 * 1024 * 1024;
/** Bytes for message headers, vectors and control blocks; what is left over costs nothing until it is touched. */
export const CONTROL_SPACE: number = 256 * 1024;

/** Bytes in which packets wait for their peer's rate; they cost nothing until the first time that they are used. */
export const SHAPING_SPACE: number = 16 * 1024 * 1024;

export interface DataPlaneParts {
  readonly config: DataPlaneConfig;
  readonly report: Reporter;
  readonly libc: Libc;
  readonly arena: Arena;
  readonly loop: EventLoop;
  readonly drops: DropCounters;
  readonly aead: AeadProvider;
  readonly monitor: RouteMonitor;
  readonly socket: UdpSocket;
  readonly udp: UdpPort;
  /** What handshakes come to; null where they come to `socket`. */
  readonly handshakes: { readonly socket: UdpSocket; readonly port: UdpPort } | null;
  readonly device: Device;
  readonly router: Router;
  /** Null at a client. */
  readonly access: AccessControl | null;
  /** What is translated here; packet workers have an egress each, as they have the packets. */
  readonly egresses: Egresses;
  readonly engine: Engine;
  readonly metering: FlowMetering;
  /** Null where this thread has the packets. */
  readonly workers: DeviceSide | null;
  /** Null where there is no virtual address. */
  readonly fleet: FleetNode | null;
}

/**
 * Opens all but the TUN and fake TCP, which follow by command.
 *
 * @param opened takes what is opened
 * @throws {SystemCallError} when the port is taken or a privilege is missing
 */
export function buildDataPlane(
  config: DataPlaneConfig,
  report: Reporter,
  opened: DisposableStack,
): DataPlaneParts {
  const libc = openLibc();
  const drops = new DropCounters();
  const slotSize = SendQueue.slotSize(config.mtu + TRANSPORT_OVERHEAD);
  const arena = new Arena(arenaSize(config, slotSize));
  const loop = opened.use(new EventLoop(libc, arena));
  const monitor = opened.use(RouteMonitor.open(libc));
  const fields = openFieldCipher(config, arena);
  const aead = openPacketCipher(config, arena, fields);
  const x25519 = openKeyPairs(fields, arena);
  const { socket, handshakes } = openTunnelSockets(libc, arena, {
    options: {
      port: config.listenPort,
      bothFamilies: true,
      mark: config.mark,
      offload: config.offload,
      bufferSize: SOCKET_BUFFER_SIZE,
      batch: BATCH,
    },
    isGateway: config.isGateway,
    workers: config.shared?.toWorkers.length ?? 0,
    opened,
  });
  const sendQueue = new SendQueue({
    offset: arena.allocate(SEND_SLOTS * slotSize),
    slots: SEND_SLOTS,
    slotSize,
  });
  const workers = config.shared &&
    new DeviceSide(libc, config.shared, { memory: arena, paths: sendQueue.paths });
  let fleet: FleetNode | null = null;
  const elsewhere = new Elsewhere(
    arena,
    {
      handMessage: (gateway, offset, length, path) =>
        fleet?.handMessage(gateway, offset, length, path) ?? false,
      hasPeer: (peer) => fleet?.packets.hasElsewhere(peer) ?? false,
      handPacket: (peer, offset, length, now) => fleet?.packets.hand(peer, offset, length, now),
      noteHanded: (peer, packet, gateway, now) => fleet?.packets.note(peer, packet, gateway, now),
      handAnswer: (peer, offset, length, now) =>
        fleet?.packets.handAnswer(peer, offset, length, now) ?? false,
    },
    config.shared?.elsewhere,
  );
  const device = new Device({
    memory: arena,
    sendQueue,
    identity: opened.adopt(x25519.keyPair(config.privateKey), (pair) => pair.destroy()),
    x25519,
    aead,
    drops,
    mtu: config.mtu,
    // `randomBytes` would leave a copy of each secret behind that nobody overwrites.
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    wallClock: () => fleet?.unixTime() ?? Date.now(),
    watch: config.watch,
    software: `vpn/${VERSION}`,
    followsTransport: config.isGateway,
    carriesIpv6: carriesIpv6(config),
    ...(config.fleet && { elsewhere }),
    ...(workers && {
      shared: {
        sharing: workers.board,
        scratch: { offset: arena.allocate(slotSize), length: slotSize },
      },
    }),
  });
  if (config.fleet !== null) {
    const { fleet: own, mark } = config;
    fleet = opened.use(
      new FleetNode(libc, arena, {
        config: own,
        loop,
        device,
        aead,
        x25519,
        mark,
        report,
        elsewhere,
        drops,
        nat: () => egresses.replicas,
        mtu: config.mtu,
        receive: (source, now) => engine.receive(source, now),
        takeHanded: (packet, gateway, now) => engine.takeHanded(packet, gateway, now),
      }),
    );
  }
  const egresses = opened.use(
    new Egresses(libc, arena, {
      ...{ ...config, ...egressConfigs(config), drops, device },
      isReplicated: config.fleet !== null,
    }),
  );
  const { ipv4: egress, ipv6: egress6 } = egresses;
  const router = new Router({
    ...config,
    egress: typeof config.egress === "object" ? "nat" : config.egress,
    isTranslated6: egress6 !== null,
    allowedIps: device.allowedIps,
    allowedIps6: device.allowedIps6,
  });
  const { shared } = config;
  const access = !config.isGateway ? null : new AccessControl({
    view: arena.view,
    allowedIps: device.allowedIps,
    allowedIps6: device.allowedIps6,
    seed: shared?.seed ?? randomBytes(4).readInt32LE(),
    items: config.access,
    ...(shared && { shared: { flows: shared.flows, own: shared.toWorkers.length } }),
  });
  const queues = { sendQueue, hostQueue: new PacketQueue(BATCH * MAX_RECEIVED) };
  const pipeline = new Pipeline({
    ...queues,
    memory: arena,
    device,
    router,
    nat: egress?.nat ?? null,
    nat6: egress6?.nat ?? null,
    ...(access && { access }),
    drops,
    scratch: arena.allocate(PIPELINE_SCRATCH_SIZE),
    shaping: openShaping(arena, config.mtu),
    seed: randomBytes(4).readUInt32LE(),
  });
  const engine = new Engine({
    ...queues,
    memory: arena,
    scratch: arena.allocate(ENGINE_SCRATCH_SIZE),
    device,
    pipeline,
    drops,
    outside: egress && new EgressPort(egress, loop),
    outside6: egress6 && new EgressPort(egress6, loop),
    offload: config.offload,
  });
  const portOf = (of: UdpSocket) =>
    new UdpPort(of, {
      memory: arena,
      paths: sendQueue.paths,
      drops,
      keepsSource: config.isGateway,
      onSourceRefused: (source) => device.forgetSource(source),
      onRoomAwaited: (isAwaited) => loop.modify(of.fd, isAwaited ? EPOLLIN | EPOLLOUT : EPOLLIN),
    });
  const udp = portOf(socket);
  engine.attach(udp);
  return {
    config,
    report,
    libc,
    arena,
    loop,
    drops,
    aead,
    monitor,
    socket,
    udp,
    handshakes: handshakes && { socket: handshakes, port: portOf(handshakes) },
    device,
    router,
    access,
    egresses,
    engine,
    metering: new FlowMetering(pipeline.shaping, arena.view),
    workers,
    fleet,
  };
}

/** Whether the tunnel carries IPv6 besides IPv4. */
export function carriesIpv6({ addresses6 = [] }: Pick<DataPlaneConfig, "addresses6">): boolean {
  return addresses6.length > 0;
}

/** Of what this thread translates. */
function egressConfigs(
  { egress, egress6 = null, shared }: DataPlaneConfig,
): { readonly config: EgressConfig | null; readonly config6: EgressConfig6 | null } {
  if (shared !== null || typeof egress !== "object") return { config: null, config6: null };
  return { config: egress, config6: egress6 };
}

function arenaSize(config: DataPlaneConfig, slotSize: number): number {
  const { mtu, hasFakeTcp, fleet } = config;
  const { config: egress, config6: egress6 } = egressConfigs(config);
  return (BATCH + 1) * RECEIVE_BUFFER_SIZE + (SEND_SLOTS + 1) * slotSize + ENGINE_SCRATCH_SIZE +
    CONTROL_SPACE + SHAPING_SPACE + (fleet === null ? 0 : FleetNode.arenaSize(mtu)) +
    Egresses.arenaSize(egress, egress6) +
    (hasFakeTcp ? FakeTcpLink.arenaSize(mtu, SEND_SLOTS) : 0);
}

/** The cipher of packets, and of what handshakes have in their fields. */
export function openAead(config: Pick<DataPlaneConfig, "aead">, arena: Arena): AeadProvider {
  return openPacketCipher(config, arena, openFieldCipher(config, arena));
}

function openFieldCipher({ aead }: Pick<DataPlaneConfig, "aead">, arena: Arena): AeadProvider {
  const library = aead === "builtin" ? null : openLibcrypto(arena);
  if (library === null && aead === "libcrypto") {
    throw new Error(
      "Cannot use Aead = libcrypto: there is no libcrypto.so.3 or .so.1.1, or it refuses ChaCha20-Poly1305, as with FIPS: use Aead = auto",
    );
  }
  return library ?? createBuiltinAead(arena);
}

/** The quickest that there is and that `aead` allows; of BoringSSL the host's own only if it is asked for. */
function openPacketCipher(
  { aead }: Pick<DataPlaneConfig, "aead">,
  arena: Arena,
  fields: AeadProvider,
): AeadProvider {
  const library = (aead === "auto" || aead === "ipsec-mb" ? openIpsecMb(arena, fields) : null) ??
    openBoringssl(arena, fields, boringsslNames(aead));
  if (library !== null) return library;
  if (aead === "ipsec-mb") {
    throw new Error(
      "Cannot use Aead = ipsec-mb: it takes libIPSec_MB.so.1 or .2 and a processor with AVX-512, IFMA and VAES: use Aead = auto",
    );
  }
  if (aead === "boringssl") {
    throw new Error(
      "Cannot use Aead = boringssl: neither the executable nor this host has a BoringSSL that works: install android-libboringssl, or use Aead = auto",
    );
  }
  // A first key now: trying the library out for it takes some ms, which packets would wait for.
  fields.key(new Uint8Array(KEY_SIZE)).destroy();
  return fields;
}

/**
 * X25519 is of the same library as the cipher of handshake fields: a user who configures `builtin` trusts the host's
 * with nothing.
 */
function openKeyPairs({ name }: AeadProvider, arena: Arena): X25519Provider {
  return (name === "builtin" ? null : openX25519(arena, name)) ?? builtinX25519;
}

/** Where packets wait for their peer's rate. */
export function openShaping(arena: Arena, mtu: number): ShaperRegion {
  return shapingRegion(arena.allocate(SHAPING_SPACE), mtu, SHAPING_SPACE);
}
