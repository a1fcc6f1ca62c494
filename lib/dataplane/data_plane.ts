/** Data plane: one thread's loop that moves packets, does what the main thread commands, and reports what happens. */
import { EPOLLOUT } from "../../ffi/epoll.ts";
import type { DeviceEvent } from "../core/wireguard/device_events.ts";
import { buildDataPlane, type DataPlaneParts } from "./build.ts";
import { Captures } from "./captures.ts";
import { Commands } from "./commands.ts";
import type { DataPlaneConfig, Reporter } from "./data_plane_protocol.ts";
import { PathProber } from "./path_prober.ts";
import { Reports } from "./reports.ts";
import { SendErrors, StatisticsPages } from "./statistics.ts";

/** ms until what a packet worker had no room for is offered again. */
const RETRY_PAUSE = 1;

export class DataPlane implements Disposable {
  readonly #resources: DisposableStack;
  readonly #parts: DataPlaneParts;
  readonly #prober: PathProber;
  readonly #captures: Captures;
  readonly #reports: Reports;
  readonly #commands: Commands;

  /**
   * Opens the socket; the TUN follows by command.
   *
   * @throws {SystemCallError} when the port is taken or a privilege is missing
   */
  constructor(config: DataPlaneConfig, report: Reporter) {
    using opened = new DisposableStack();
    const parts = this.#parts = buildDataPlane(config, report, opened);
    const { aead, arena, device, engine, libc, loop, socket } = parts;
    const sendErrors = new SendErrors(parts);
    this.#reports = new Reports(parts, sendErrors);
    this.#captures = new Captures({ memory: arena, device, report });
    this.#prober = opened.use(
      new PathProber(libc, {
        engine,
        port: socket.port,
        mark: config.mark,
        maxMtu: config.mtu,
        unprovenMtu: config.unprovenMtu,
        linkMtu: (endpoint) => this.#commands.link?.innerMtu(endpoint) ?? null,
        device,
        onChange: (peer) => this.#reports.peers.add("path-mtu", peer, loop.now()),
      }),
    );
    // Anybody can forge it; what counts of it, the prober sees itself.
    if (this.#prober.hears6) {
      // By whichever socket of the port it reaches the kernel.
      for (const each of [socket, parts.handshakes?.socket]) each?.disbelieveIcmp6();
    }
    this.#resources = new DisposableStack();
    this.#commands = new Commands(parts, {
      prober: this.#prober,
      reports: this.#reports,
      statistics: new StatisticsPages(parts, sendErrors, () => this.#commands.link),
      captures: this.#captures,
      opened: this.#resources,
    });
    this.#reports.setTrace(config.trace);
    const now = loop.now();
    for (const peer of config.peers) device.addPeer(peer, now);
    this.#listen();
    // What is opened by command is closed first: the TUN, which takes the interface off the host.
    this.#resources.use(opened.move());
    report({ kind: "ready", port: socket.port, aead: aead.name });
  }

  #listen(): void {
    const { config, device, egresses, engine, handshakes, loop, monitor, socket, udp, workers } =
      this.#parts;
    loop.add(socket.fd, (readiness, now) => {
      if ((readiness & EPOLLOUT) !== 0) engine.resume(now);
      if ((readiness & ~EPOLLOUT) !== 0) engine.receive(udp, now);
    });
    if (handshakes !== null) {
      // Packets that have come meanwhile, and the host's answers to them, do not wait for another turn's handshakes.
      loop.addLast(
        handshakes.socket.fd,
        (_, now) => engine.receiveHandshakes(handshakes.port, now),
      );
    }
    if (workers !== null) loop.add(workers.fd, (_, now) => workers.take(device, now));
    loop.add(config.commandFd, (_, now) => this.#commands.serve(now));
    loop.add(monitor.fd, (_, now) => this.#followNetwork(now));
    for (const fd of this.#prober.fds) loop.add(fd, (_, now) => this.#prober.serve(now));
    for (const egress of egresses.all) {
      const isIpv6 = egress === egresses.ipv6;
      loop.add(egress.capture.fd, (_, now) => engine.readCapture(now, isIpv6));
      loop.add(egress.sender.fd, () => egress.sender.serve());
      const { arp } = egress;
      if (arp !== null) loop.add(arp.fd, () => arp.serve());
    }
  }

  /** Moves packets until told to stop. */
  run(): void {
    this.#parts.loop.run({ pollAt: () => this.#pollAt(), poll: (now) => this.#poll(now) });
  }

  /** When there is something to do though nothing is ready, monotonic ms. */
  #pollAt(): number {
    const { device, egresses, engine, fleet, loop, workers } = this.#parts;
    const { link } = this.#commands;
    const hasSealed = !engine.isFull && (link?.workers?.hasMore ?? false);
    return Math.min(
      hasSealed ? 0 : Infinity,
      device.pollAt(),
      engine.pollAt(),
      this.#prober.pollAt(),
      this.#reports.pollAt(),
      egresses.pollAt(),
      link?.pollAt() ?? Infinity,
      this.#captures.pollAt(),
      fleet?.pollAt() ?? Infinity,
      workers?.isWaiting ? loop.now() + RETRY_PAUSE : Infinity,
    );
  }

  /** Does what is due, and sends what it led to. */
  #poll(now: number): void {
    const { device, egresses, engine, fleet, workers } = this.#parts;
    const { link } = this.#commands;
    if (link !== null && link.workers !== null) engine.sendSealed(link.workers, now);
    link?.poll(now);
    device.poll(now);
    egresses.poll(now);
    fleet?.poll(now);
    engine.release(now);
    engine.flush(now);
    if (device.events.length > 0) {
      for (const event of device.events) this.#follow(event, now);
      device.events.length = 0;
    }
    this.#prober.poll(now);
    this.#captures.poll(now);
    this.#reports.poll(now);
    workers?.endTurn(device, this.#captures.snapLength, now);
  }

  /** Does at once what follows from what happened to a peer, and reports it as often as is good. */
  #follow({ kind, peer }: DeviceEvent, now: number): void {
    // By a command of this very turn: nothing is begun for it any more.
    if (peer.isRemoved) return;
    // A new session, or another path to the peer: it may take more or less than the last one. Where the peer has yet to
    // prove that it is there, a session follows. What may be asked of it depends on what runs there.
    if (
      kind === "handshake-completed" || kind === "recognized" ||
      (kind === "endpoint-changed" && peer.proof.isProven)
    ) {
      this.#prober.start(peer, now);
    }
    if (kind === "usage") {
      this.#reports.usage(peer, false);
      return;
    }
    if (kind === "released") {
      this.#parts.egresses.releaseClient(peer, now);
      this.#parts.workers?.board.peerReleased(peer);
    }
    this.#parts.fleet?.follow({ kind, peer }, now);
    this.#reports.peers.add(kind, peer, now);
  }

  /** What has changed on the host is looked up by the main thread, which has to see the whole anyway. */
  #followNetwork(now: number): void {
    const { egresses, fleet, monitor, report } = this.#parts;
    const events = monitor.read().filter((event) => !fleet?.isRenewal(event));
    if (events.length === 0) return;
    for (const event of events) {
      if (event.kind === "link" && event.removed) egresses.linkRemoved(event.link.index);
    }
    egresses.networkChanged();
    this.#commands.link?.networkChanged(now);
    this.#prober.networkChanged();
    report({ kind: "network-changed" });
  }

  /** Closes the TUN, which takes the interface off the host, and the sockets. */
  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }
}
