/**
 * Packet thread: a packet worker, one of several threads that move packets: its socket of the tunnel's port, its queue
 * of the TUN, its slice of the NAT, its own engine.
 */
import { Arena } from "../../../ffi/arena.ts";
import { EPOLLIN, EPOLLOUT } from "../../../ffi/epoll.ts";
import { errnoName, SystemCallError } from "../../../ffi/errno.ts";
import { clearEventFd, signalEventFd } from "../../../ffi/event_fd.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { RECEIVE_BUFFER_SIZE } from "../../../ffi/sockets/udp_buffers.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { MAX_MESSAGE_SIZE, receiveMessage } from "../../../ffi/sockets/wake_channel.ts";
import { Tun } from "../../../ffi/tun.ts";
import { AccessControl } from "../../core/access/access_control.ts";
import type { AccessItem } from "../../core/access/access_items.ts";
import type { EgressRule } from "../../core/access/egress_rules.ts";
import { Engine, ENGINE_SCRATCH_SIZE } from "../../core/engine/engine.ts";
import { ForOutside } from "../../core/engine/for_outside.ts";
import { ForwardedPort } from "../../core/engine/forwarded_port.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../../core/engine/pipeline.ts";
import type { NatService } from "../../core/nat/nat_options.ts";
import { Router } from "../../core/routing/router.ts";
import { RingReader, RingWriter } from "../../core/threads/record_ring.ts";
import { Turn } from "../../core/threads/shared_counter.ts";
import { SendQueue } from "../../core/transport/send_queue.ts";
import { DropCounters } from "../../core/wire/drop_reason.ts";
import { TRANSPORT_OVERHEAD } from "../../core/wire/messages.ts";
import { PacketQueue } from "../../core/wire/packet_queue.ts";
import { ElsewhereOfWorker } from "../../core/wireguard/elsewhere.ts";
import { WorkerDevice } from "../../core/wireguard/workers/worker_device.ts";
import {
  BATCH,
  carriesIpv6,
  CONTROL_SPACE,
  MAX_RECEIVED,
  openAead,
  openShaping,
  SEND_SLOTS,
  SHAPING_SPACE,
  SOCKET_BUFFER_SIZE,
} from "../build.ts";
import { EventLoop } from "../event_loop.ts";
import { FlowMetering } from "../flow_metering.ts";
import { hearsRouters6 } from "../path_prober.ts";
import { TunDevice } from "../ports/tun_device.ts";
import { UdpPort } from "../ports/udp_port.ts";
import { enableTunOffload, NO_TUN_OFFLOAD, TunOffload } from "../tun_offload.ts";
import type {
  PacketWorkerCommand,
  PacketWorkerConfig,
  PacketWorkerReport,
} from "./packet_worker_protocol.ts";
import { WorkerEgress } from "./worker_egress.ts";
import { WorkerFakeTcp } from "./worker_fake_tcp.ts";
import type { WorkerFigures } from "./worker_figures.ts";

export class PacketThread implements Disposable {
  readonly #libc: Libc = openLibc();
  readonly #config: PacketWorkerConfig;
  readonly #report: (report: PacketWorkerReport) => void;
  readonly #arena: Arena;
  readonly #loop: EventLoop;
  readonly #socket: UdpSocket;
  readonly #router: Router;
  readonly #access: AccessControl | null;
  readonly #device: WorkerDevice;
  readonly #engine: Engine;
  readonly #metering: FlowMetering;
  readonly #toDevice: RingWriter;
  /** Null where there is no fake TCP. */
  readonly #fakeTcp: WorkerFakeTcp | null;
  /** Null where nothing is translated here. */
  readonly #outside: WorkerEgress | null;
  /** To the worker that translates for all; null where this one translates, or none does. */
  readonly #toTranslator: RingWriter | null;
  readonly #resources: DisposableStack;
  readonly #buffer = new Uint8Array(MAX_MESSAGE_SIZE);
  readonly #egressRules: EgressRule[] = [];
  readonly #accessItems: AccessItem[] = [];
  readonly #services: NatService[] = [];
  #hasMore = false;

  /** @throws {SystemCallError} where a privilege is missing */
  constructor(config: PacketWorkerConfig, report: (report: PacketWorkerReport) => void) {
    using opened = new DisposableStack();
    this.#config = config;
    this.#report = report;
    const { egress, egress6, mtu, number, shared } = config;
    const isTranslated = typeof egress === "object";
    const translates = isTranslated && (number === 0 || !config.hasOneNat);
    const slotSize = SendQueue.slotSize(mtu + TRANSPORT_OVERHEAD);
    const arena = this.#arena = new Arena(
      BATCH * RECEIVE_BUFFER_SIZE + SEND_SLOTS * slotSize + ForwardedPort.size(slotSize) +
        ENGINE_SCRATCH_SIZE +
        CONTROL_SPACE + SHAPING_SPACE +
        (shared.fakeTcp === null ? 0 : WorkerFakeTcp.arenaSize) +
        (translates ? WorkerEgress.arenaSize(egress, egress6, mtu) : 0),
    );
    const loop = this.#loop = opened.use(new EventLoop(this.#libc, arena));
    const socket = this.#socket = opened.use(UdpSocket.bind(this.#libc, arena, {
      port: config.port,
      bothFamilies: true,
      sharesPort: true,
      mark: config.mark,
      offload: config.offload,
      bufferSize: SOCKET_BUFFER_SIZE,
      batch: BATCH,
    }));
    if (hearsRouters6(this.#libc, config.port)) socket.disbelieveIcmp6();
    const sendQueue = new SendQueue({
      offset: arena.allocate(SEND_SLOTS * slotSize),
      slots: SEND_SLOTS,
      slotSize,
    });
    const { paths } = sendQueue;
    const drops = new DropCounters();
    this.#toDevice = new RingWriter(shared.toDevice[number]);
    const forwarded = new ForwardedPort({
      memory: arena,
      offset: arena.allocate(ForwardedPort.size(slotSize)),
      slotSize,
      paths,
    });
    const device = this.#device = new WorkerDevice({
      number,
      workers: shared.toWorkers.length,
      memory: arena,
      sendQueue,
      aead: openAead(config, arena),
      drops,
      mtu,
      turn: new Turn(),
      counters: new Int32Array(shared.counters),
      limits: new Int32Array(shared.limits),
      fromDevice: new RingReader(shared.toWorkers[number]),
      toDevice: this.#toDevice,
      forwarded: {
        put: (record, at, length) => forwarded.put(record, at, length),
        receive: (now) => this.#engine.receive(forwarded, now),
      },
      elsewhere: new ElsewhereOfWorker(shared.elsewhere),
      onReleased: (peer) => this.#outside?.release(peer),
    });
    const outside = this.#outside = translates
      ? opened.use(
        new WorkerEgress({
          ...config,
          config: egress,
          config6: egress6,
          libc: this.#libc,
          arena,
          loop,
          drops,
          device,
          log: (level, message) => this.#log(level, message),
        }),
      )
      : null;
    this.#router = new Router({
      ...config,
      egress: isTranslated ? "nat" : egress,
      isTranslated6: isTranslated && egress6 !== null,
      allowedIps: device.allowedIps,
      allowedIps6: device.allowedIps6,
    });
    const access = this.#access = !config.isGateway ? null : new AccessControl({
      view: arena.view,
      allowedIps: device.allowedIps,
      allowedIps6: device.allowedIps6,
      seed: shared.seed,
      items: config.access,
      shared: { flows: shared.flows, own: number },
    });
    const toTranslator = this.#toTranslator = isTranslated && !translates
      ? new RingWriter(shared.between[number][0])
      : null;
    const queues = { sendQueue, hostQueue: new PacketQueue(BATCH * MAX_RECEIVED) };
    const pipeline = new Pipeline({
      ...queues,
      memory: arena,
      device,
      router: this.#router,
      nat: outside?.nat ?? null,
      nat6: outside?.nat6 ?? null,
      forOutside: toTranslator && new ForOutside({
        memory: arena,
        ring: toTranslator,
        drops,
        tagOf: (index) => device.peerAt(index)?.tag ?? 0,
      }),
      ...(access && { access }),
      drops,
      scratch: arena.allocate(PIPELINE_SCRATCH_SIZE),
      shaping: openShaping(arena, mtu),
      seed: shared.seed,
      inboundFlows: shared.inboundFlows,
    });
    this.#metering = new FlowMetering(pipeline.shaping, arena.view);
    this.#engine = new Engine({
      ...queues,
      memory: arena,
      scratch: arena.allocate(ENGINE_SCRATCH_SIZE),
      device,
      pipeline,
      drops,
      outside: outside?.port ?? null,
      outside6: outside?.port6 ?? null,
      offload: config.offload,
    });
    const udp = new UdpPort(socket, {
      memory: arena,
      paths,
      drops,
      keepsSource: config.isGateway,
      onSourceRefused: (source) => device.refuseSource(source),
      onRoomAwaited: (isAwaited) =>
        loop.modify(socket.fd, isAwaited ? EPOLLIN | EPOLLOUT : EPOLLIN),
    });
    this.#engine.attach(udp);
    this.#fakeTcp = shared.fakeTcp && new WorkerFakeTcp({
      arena,
      device,
      engine: this.#engine,
      fromDevice: shared.fakeTcp.toWorkers[number],
      toDevice: shared.fakeTcp.toDevice[number],
    });
    this.#resources = new DisposableStack();
    this.#listen(udp);
    this.#resources.use(opened.move());
    report({ kind: "ready" });
  }

  #listen(udp: UdpPort): void {
    const loop = this.#loop;
    const engine = this.#engine;
    // First of all what the device's thread tells: what arrives may be under a key that is told just now.
    loop.add(this.#wakeFd, (_, now) => this.#learn(now));
    loop.add(this.#socket.fd, (readiness, now) => {
      if ((readiness & EPOLLOUT) !== 0) engine.resume(now);
      if ((readiness & ~EPOLLOUT) !== 0) engine.receive(udp, now);
    });
    loop.add(this.#config.commandFd, (_, now) => this.#serve(now));
    this.#outside?.listen(engine);
  }

  get #wakeFd(): number {
    return this.#config.shared.workersWake[this.#config.number];
  }

  #learn(now: number): void {
    clearEventFd(this.#libc, this.#wakeFd);
    this.#hasMore = this.#device.learn(now);
  }

  /** Moves packets until told to stop. */
  run(): void {
    this.#loop.run({ pollAt: () => this.#pollAt(), poll: (now) => this.#poll(now) });
  }

  #pollAt(): number {
    return Math.min(
      this.#fakeTcp?.pollAt(this.#loop) ?? Infinity,
      this.#device.pollAt(),
      this.#engine.pollAt(),
      this.#outside?.pollAt() ?? Infinity,
    );
  }

  #poll(now: number): void {
    this.#fakeTcp?.poll(now);
    this.#device.takeForwarded(now);
    this.#outside?.poll(this.#engine, now);
    this.#engine.release(now);
    this.#engine.flush(now);
    this.#device.endTurn(now);
    this.#outside?.endTurn(this.#engine);
    this.#fakeTcp?.endTurn();
    if (this.#hasMore) signalEventFd(this.#libc, this.#wakeFd);
    this.#hasMore = false;
    const { deviceWake, workersWake } = this.#config.shared;
    this.#wake(this.#toDevice, deviceWake);
    if (this.#fakeTcp !== null) this.#wake(this.#fakeTcp.toDevice, deviceWake);
    if (this.#toTranslator !== null) this.#wake(this.#toTranslator, workersWake[0]);
  }

  /** Wakes who reads a ring, where there is news in it. */
  #wake(ring: RingWriter, wake: number): void {
    if (ring.hasNews) signalEventFd(this.#libc, wake);
    ring.hasNews = false;
  }

  // Commands.

  #serve(now: number): void {
    for (;;) {
      const message = receiveMessage(this.#libc, this.#config.commandFd, this.#buffer);
      if (message === null) return;
      if (message.length === 0) {
        // The main thread is gone, and so are we.
        this.#loop.stop();
        return;
      }
      this.#do(JSON.parse(new TextDecoder().decode(message)), now);
    }
  }

  #do(command: PacketWorkerCommand, now: number): void {
    switch (command.kind) {
      case "open-tun":
        this.#openTun(command.name, command.steering, now);
        break;
      case "set-egress-rules":
        this.#egressRules.push(...command.rules);
        if (command.isLast) this.#router.setEgressRules(this.#egressRules.splice(0));
        break;
      case "set-client-to-client":
        this.#router.setClientToClient(command.allowed);
        if (this.#outside !== null) this.#outside.clientToClient = command.allowed;
        break;
      case "set-external": {
        const nowhere = { group: null, isOpen: false };
        const set = this.#outside?.setExternal(command, command.group) ?? nowhere;
        this.#report({ kind: "external-set", ...set });
        break;
      }
      case "set-services":
        this.#services.push(...command.services);
        if (command.isLast) this.#outside?.setServices(this.#services.splice(0));
        this.#report({ kind: "done" });
        break;
      case "set-flow-log":
        this.#metering.turn(command.isOn);
        break;
      case "get-flows":
        this.#report({ kind: "flows", batch: this.#metering.take(now, command.isLast) });
        break;
      case "set-trace":
        this.#outside?.setTrace(command.trace);
        break;
      case "change-access":
        this.#accessItems.push(...command.items);
        if (command.isLast) this.#access?.change(this.#accessItems.splice(0));
        this.#report({ kind: "done" });
        break;
      case "get-figures":
        this.#report({ kind: "figures", figures: this.#figures() });
        break;
      case "ping":
        this.#report({ kind: "alive" });
        break;
      case "stop":
        this.#loop.stop();
    }
  }

  #openTun(name: string, steering: number | null, now: number): void {
    // Whom the host's first packets are for is known by then.
    this.#learn(now);
    try {
      const tun = this.#resources.use(
        steering === null
          ? Tun.openQueue(this.#libc, this.#arena, name)
          : Tun.open(this.#libc, this.#arena, name, "many"),
      );
      if (steering !== null) tun.steer(steering);
      const offload = enableTunOffload(tun, this.#config.offload, carriesIpv6(this.#config));
      if (steering !== null && this.#config.offload && offload === TunOffload.none) {
        this.#log("warning", NO_TUN_OFFLOAD);
      }
      this.#loop.add(tun.fd, (_, at) => this.#engine.readTun(at));
      this.#engine.attachTun(new TunDevice(tun, this.#loop, offload));
      this.#report({ kind: "opened" });
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      this.#report({ kind: "refused", message: error.message, errno: error.errno });
    }
  }

  #figures(): WorkerFigures {
    const { segmentation, lastSendError } = this.#socket;
    return {
      ...this.#device.figures,
      overflow: this.#socket.drops(),
      segmentation,
      sendError: lastSendError === 0 ? null : errnoName(lastSendError),
      nat: this.#outside?.figures(this.#device.peers) ?? null,
      denials: this.#access?.table.denials() ?? [],
    };
  }

  #log(level: "trace" | "warning", message: string): void {
    this.#report({ kind: "log", level, message });
  }

  /** Closes its queue of the TUN, and its socket. */
  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }
}
