/** Relay loop: what a relay's thread is made of, and what it does in each turn. */
import { Arena } from "../../../ffi/arena.ts";
import { errnoName } from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { RouteMonitor } from "../../../ffi/netlink/monitor.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { receiveMessage } from "../../../ffi/sockets/wake_channel.ts";
import { IDLE_TIMEOUT, RelayFlows } from "../../core/relay/relay_flows.ts";
import { RelayLink } from "../../core/relay/relay_link.ts";
import { RelayMover } from "../../core/relay/relay_mover.ts";
import { DropLog } from "../../core/engine/drop_log.ts";
import { Paths } from "../../core/transport/paths.ts";
import { DropCounters } from "../../core/wire/drop_reason.ts";
import { formatSocketAddress } from "../../core/wire/host_address.ts";
import { pathMtuTo, sourceTo, widestMtu } from "../fake_tcp/fake_tcp_path.ts";
import { EventLoop } from "../event_loop.ts";
import { FakeTcpSocket, leftOutLine } from "../fake_tcp/fake_tcp_socket.ts";
import { SegmentSocketPort } from "../fake_tcp/segment_socket_port.ts";
import type { RelayConfig, RelayReport } from "./relay_protocol.ts";
import { UdpSockets } from "./udp_sockets.ts";
import { randomBytes } from "node:crypto";

/** Wanted socket buffers in bytes. */
const SOCKET_BUFFER_SIZE = 8 * 1024 * 1024;
/** Flows before a service, each with a socket: beyond, the one idle for longest gives way. */
const MAX_ACCEPTED_FLOWS = 4096;
/** One in so many ports is left to connections that follow others: the last ones' ports are not fresh. */
const FRESH_PORTS_SHARE = 16;
/** Paths of datagrams under way, and of strangers whose flow has ended. */
const UNHELD_PATHS = 1024;
/** Bytes: longer packets than jumbo frames are only loopback's. */
const MAX_MTU = 9000;
/** Bytes of arena for what is small. */
const CONTROL_SPACE = 16 * 1024;

export class RelayLoop implements Disposable {
  readonly #resources = new DisposableStack();
  readonly #libc: Libc;
  readonly #messageBuffer = new Uint8Array(16);
  readonly #loop: EventLoop;
  readonly #monitor: RouteMonitor;
  readonly #socket: FakeTcpSocket;
  readonly #link: RelayLink;
  readonly #sockets: UdpSockets;
  readonly #mover: RelayMover;
  readonly #drops = new DropCounters();
  readonly #dropLog = new DropLog(this.#drops);
  readonly #config: RelayConfig;
  readonly #report: (report: RelayReport) => void;
  /** What was last told of the other end; null while nothing is known. */
  #isReached: boolean | null = null;

  /**
   * Opens the sockets.
   *
   * @throws {SystemCallError} when the port is taken, the address is not this host's, or a privilege is missing
   */
  constructor(config: RelayConfig, report: (report: RelayReport) => void) {
    this.#config = config;
    this.#report = report;
    using opened = new DisposableStack();
    const { endpoints, offload, udp } = config;
    const { remote } = endpoints;
    const libc = this.#libc = openLibc();
    const netlink = opened.use(Rtnetlink.open(libc));
    this.#monitor = opened.use(RouteMonitor.open(libc));
    const mtu = Math.min(
      remote === null ? widestMtu(netlink) : pathMtuTo(netlink, remote.address, { mark: 0 }),
      MAX_MTU,
    );
    const queueSize = RelayLink.queueSize(mtu);
    const arena = new Arena(
      FakeTcpSocket.arenaSize + UdpSockets.arenaSize + queueSize + CONTROL_SPACE,
    );
    const loop = this.#loop = opened.use(new EventLoop(libc, arena));
    // One for each flow, and the service's.
    const paths = new Paths({ holders: capacityOf(config) + 1, unheld: UNHELD_PATHS });
    paths.seedWith(randomBytes(4).readUInt32LE());
    const kind = { offload, bufferSize: SOCKET_BUFFER_SIZE };
    this.#sockets = opened.use(
      new UdpSockets(libc, arena, { ...kind, udp, loop, paths, drops: this.#drops }),
    );
    this.#socket = opened.use(
      new FakeTcpSocket(libc, arena, {
        ...kind,
        endpoints,
        mark: 0,
        tunnel: "",
        onLeftOut: (count) => this.#log("warning", leftOutLine(count)),
      }),
    );
    this.#link = new RelayLink(arena, {
      segments: new SegmentSocketPort(this.#socket, {
        loop,
        drops: this.#drops,
        onRoom: (_, now) => this.#mover.flush(now),
      }),
      queueOffset: arena.allocate(queueSize),
      paths,
      endpoints,
      findLocalAddress: () =>
        remote === null ? null : sourceTo(netlink, remote.address, { mark: 0 }),
      drops: this.#drops,
      mtu,
      random: () => randomBytes(4).readUInt32LE(),
      secret: new Uint8Array(randomBytes(16)),
    });
    this.#mover = new RelayMover({
      link: this.#link,
      ports: this.#sockets,
      flows: new RelayFlows({
        capacity: capacityOf(config),
        idleTimeout: IDLE_TIMEOUT,
        paths,
      }),
      paths,
      drops: this.#drops,
      onReach: (isReached) => this.#tellReach(isReached),
    });
    const { capture, sender } = this.#socket;
    loop.add(config.commandFd, (_, now) => this.#serveCommands(now));
    loop.add(this.#monitor.fd, (_, now) => this.#followNetwork(now));
    loop.add(this.#sockets.fd, (_, now) => this.#mover.readUdp(now));
    loop.add(capture.fd, (_, now) => this.#mover.readLink(now));
    loop.add(sender.fd, () => sender.serve());
    this.#resources.use(opened.move());
    report({ kind: "ready" });
  }

  /** Moves datagrams until the main thread closes its end of the wake channel. */
  run(): void {
    const { sender } = this.#socket;
    this.#loop.run({
      pollAt: () => Math.min(this.#mover.pollAt(), sender.pollAt()),
      poll: (now) => {
        sender.poll(now);
        this.#mover.poll(now);
        if (this.#dropLog.hasNews) this.#tellDrops(now);
      },
    });
  }

  /** Answers the main thread's questions whether this one runs; ends when it has closed its end. */
  #serveCommands(now: number): void {
    for (;;) {
      const { commandFd } = this.#config;
      const message = receiveMessage(this.#libc, commandFd, this.#messageBuffer);
      if (message === null) return;
      if (message.length === 0) {
        this.#link.close(now);
        this.#loop.stop();
        return;
      }
      this.#report({ kind: "alive" });
    }
  }

  #followNetwork(now: number): void {
    if (this.#monitor.read().length === 0) return;
    this.#socket.networkChanged();
    this.#mover.networkChanged(now);
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  // What the log is told.

  /** Clients come and go; that a server does not answer is worth a line, and so is that it does. */
  #tellReach(isReached: boolean): void {
    const { remote } = this.#config.endpoints;
    if (remote === null || this.#isReached === isReached) return;
    this.#isReached = isReached;
    const other = formatSocketAddress(remote);
    if (isReached) this.#log("info", `connected to ${other}`);
    else {
      this.#log(
        "warning",
        `no answer from ${other}: check that the other relay is running and that firewalls allow TCP`,
      );
    }
  }

  #tellDrops(now: number): void {
    const lines = this.#dropLog.takeLines(now);
    for (const line of lines) this.#log("info", line);
    if (lines.length === 0) return;
    // The causes go with the lines about drops, and are throttled with them.
    if (this.#sockets.lastError !== 0) {
      this.#log("warning", `cannot send by UDP: ${errnoName(this.#sockets.lastError)}`);
      this.#sockets.lastError = 0;
    }
    if (this.#sockets.refusal !== null) this.#log("warning", this.#sockets.refusal.message);
    this.#sockets.refusal = null;
  }

  #log(level: "info" | "warning", message: string): void {
    this.#report({ kind: "log", level, message });
  }
}

function capacityOf({ endpoints: { ports, remote } }: RelayConfig): number {
  if (remote === null) return MAX_ACCEPTED_FLOWS;
  const count = ports.last - ports.first + 1;
  return count - Math.ceil(count / FRESH_PORTS_SHARE);
}
