/** Commands of the data plane: takes what the main thread asks for from the wake channel, does it, and answers. */
import { SystemCallError } from "../../ffi/errno.ts";
import { MAX_MESSAGE_SIZE, receiveMessage } from "../../ffi/sockets/wake_channel.ts";
import { Tun } from "../../ffi/tun.ts";
import type { AccessItem } from "../core/access/access_items.ts";
import type { EgressRule } from "../core/access/egress_rules.ts";
import { decodeKey } from "../core/config/values/key_text.ts";
import type { NatService } from "../core/nat/nat_options.ts";
import { parsePeerChange, type PeerChange } from "../core/peers/peer_change.ts";
import type { FakeTcpEndpoints } from "../core/transport/fake_tcp/endpoints.ts";
import { Transport } from "../core/transport/transport.ts";
import type { SocketAddress } from "../core/wire/socket_address.ts";
import { REKEY_TIMEOUT } from "../core/wireguard/constants.ts";
import { MIN_MTU } from "../core/wireguard/path/path_mtu.ts";
import type { Peer } from "../core/wireguard/peer.ts";
import { carriesIpv6, type DataPlaneParts, SEND_SLOTS, SOCKET_BUFFER_SIZE } from "./build.ts";
import type { Captures } from "./captures.ts";
import type { DataPlaneCommand, Request } from "./data_plane_protocol.ts";
import { FakeTcpLink } from "./fake_tcp/fake_tcp_link.ts";
import { leftOutLine } from "./fake_tcp/fake_tcp_socket.ts";
import type { PathProber } from "./path_prober.ts";
import { TunDevice } from "./ports/tun_device.ts";
import type { Reports } from "./reports.ts";
import type { StatisticsPages } from "./statistics.ts";
import { enableTunOffload, NO_TUN_OFFLOAD, TunOffload } from "./tun_offload.ts";

export interface CommandsOptions {
  readonly prober: PathProber;
  readonly reports: Reports;
  readonly statistics: StatisticsPages;
  readonly captures: Captures;
  /** Takes what is opened by command. */
  readonly opened: DisposableStack;
}

export class Commands {
  /** Fake TCP, once it is open. */
  link: FakeTcpLink | null = null;
  readonly #parts: DataPlaneParts;
  readonly #options: CommandsOptions;
  readonly #buffer = new Uint8Array(MAX_MESSAGE_SIZE);
  /** Parts of a set of rules of which the last has still to come. */
  readonly #egressRules: EgressRule[] = [];
  readonly #accessItems: AccessItem[] = [];
  readonly #services: NatService[] = [];

  constructor(parts: DataPlaneParts, options: CommandsOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Takes what waits in the wake channel. */
  serve(now: number): void {
    const { libc, config, loop } = this.#parts;
    for (;;) {
      const message = receiveMessage(libc, config.commandFd, this.#buffer);
      if (message === null) return;
      if (message.length === 0) {
        // The main thread closed its end without a word: it is gone, and so are we.
        loop.stop();
        return;
      }
      this.#do(JSON.parse(new TextDecoder().decode(message)), now);
    }
  }

  #do(command: DataPlaneCommand, now: number): void {
    const { device, egresses, report, router } = this.#parts;
    const { captures, reports } = this.#options;
    switch (command.kind) {
      case "open-tun":
      case "open-fake-tcp":
      case "change-peers":
      case "set-quotas":
      case "change-access":
      case "set-services":
      case "get-usage":
      case "get-flows":
      case "get-statistics":
        this.#answer(command, now);
        break;
      case "connect":
        this.#connect(this.#peer(command.server), command.interval, now);
        break;
      case "connected":
        for (const peer of device.peers) peer.timers.handshakeInterval = REKEY_TIMEOUT;
        break;
      case "set-endpoint":
        this.#setEndpoint(this.#peer(command.peer), command, now);
        break;
      case "set-transport":
        this.#setTransport(this.#peer(command.peer), command.transport, now);
        break;
      case "try-udp": {
        const peer = this.#peer(command.peer);
        if (peer !== undefined) device.sendProbe(peer, MIN_MTU, now, Transport.udp);
        break;
      }
      case "renew":
        device.renew(now);
        break;
      case "set-external":
        egresses.ipv4?.setExternal(command.external);
        break;
      case "set-external6":
        egresses.ipv6?.setExternal(command.external);
        break;
      case "set-egress-rules":
        this.#egressRules.push(...command.rules);
        if (command.isLast) router.setEgressRules(this.#egressRules.splice(0));
        break;
      case "set-client-to-client":
        router.setClientToClient(command.allowed);
        egresses.clientToClient = command.allowed;
        break;
      case "set-admits-new":
        device.admitsNew = command.admits;
        break;
      case "set-flow-log":
        this.#parts.metering.turn(command.isOn);
        break;
      case "set-trace":
        reports.setTrace(command.trace);
        break;
      case "start-capture":
      case "capture-taken":
      case "end-capture":
        captures.obey(command);
        break;
      case "fleet-members":
      case "fleet-left":
      case "fleet-store":
      case "fleet-term":
      case "fleet-term-written":
      case "fleet-address-held":
      case "fleet-drain":
        this.#parts.fleet?.obey(command, now);
        break;
      case "ping":
        report({ kind: "alive" });
        break;
      case "stop":
        this.#stop(now);
        break;
    }
  }

  /** The peer that a command names. `wg` may have removed it meanwhile. */
  #peer(publicKey: string): Peer | undefined {
    const key = decodeKey(publicKey);
    return key === null ? undefined : this.#parts.device.peer(key);
  }

  // Requests.

  #answer(request: Request, now: number): void {
    const { report } = this.#parts;
    const { id } = request;
    try {
      switch (request.kind) {
        case "open-tun":
          this.#openTun(request.name);
          break;
        case "open-fake-tcp":
          this.#openFakeTcp(request.endpoints);
          break;
        case "change-peers":
          for (const change of request.changes) this.#changePeer(parsePeerChange(change), now);
          break;
        case "set-quotas":
          for (const { peer, quota } of request.quotas) this.#peer(peer)?.setQuota(quota);
          break;
        case "change-access":
          this.#accessItems.push(...request.items);
          if (request.isLast) this.#parts.access?.change(this.#accessItems.splice(0));
          break;
        case "set-services":
          this.#services.push(...request.services);
          if (request.isLast) this.#parts.egresses.ipv4?.setServices(this.#services.splice(0));
          break;
        case "get-usage":
          report({ kind: "usages", id, peers: this.#options.reports.newUsage() });
          return;
        case "get-flows":
          report({ kind: "flows", id, batch: this.#parts.metering.take(now, request.isLast) });
          return;
        case "get-statistics":
          report({
            kind: "statistics",
            id,
            ...this.#options.statistics.page(request.isFirst, now),
          });
          return;
      }
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      report({ kind: "refused", id, message: error.message, errno: error.errno });
      return;
    }
    report({ kind: "done", id });
  }

  #openTun(name: string): void {
    const { arena, config, engine, libc, loop } = this.#parts;
    const tun = this.#options.opened.use(Tun.open(libc, arena, name));
    const offload = enableTunOffload(tun, config.offload, carriesIpv6(config));
    if (config.offload && offload === TunOffload.none) {
      this.#options.reports.log("warning", NO_TUN_OFFLOAD);
    }
    loop.add(tun.fd, (_, now) => engine.readTun(now));
    engine.attachTun(new TunDevice(tun, loop, offload));
  }

  #openFakeTcp(endpoints: FakeTcpEndpoints): void {
    const { arena, config, device, drops, engine, libc, loop, workers } = this.#parts;
    const { mark, offload, mtu, interfaceName } = config;
    const rings = workers?.fakeTcp ?? null;
    const link = this.#options.opened.use(
      new FakeTcpLink(libc, arena, {
        device,
        loop,
        onRoom: (_, now) => engine.resume(now),
        sendSlots: SEND_SLOTS,
        drops,
        endpoints,
        mark,
        offload,
        mtu,
        tunnel: interfaceName,
        bufferSize: SOCKET_BUFFER_SIZE,
        onLeftOut: (count) => this.#options.reports.log("warning", leftOutLine(count)),
        workers: rings && {
          ...rings,
          peerOf: (tag) => device.peerAt(workers!.board.indexOf(tag)),
        },
      }),
    );
    const { port, socket: { capture, sender } } = link;
    loop.add(capture.fd, (_, now) => engine.receive(port, now));
    loop.add(sender.fd, () => sender.serve());
    engine.attach(port);
    this.link = link;
  }

  #changePeer(change: PeerChange, now: number): void {
    const { device, egresses } = this.#parts;
    if (change.kind === "remove") {
      const peer = device.peer(change.publicKey);
      if (peer === undefined) return;
      this.#options.prober.forget(peer);
      this.#options.reports.peers.forget(peer);
      egresses.releaseClient(peer, now);
      this.#options.reports.usage(peer, true);
      device.removePeer(peer);
      return;
    }
    const peer = device.peer(change.peer.publicKey);
    if (peer === undefined) {
      device.addPeer(change.peer, now);
      return;
    }
    device.updatePeer(peer, change.peer, now);
    const { endpoint } = change.peer;
    if (endpoint && peer.endpoint.transport === Transport.fakeTcp) {
      this.#connectFakeTcp(endpoint, now);
    }
  }

  // The rest.

  #connect(server: Peer | undefined, interval: number, now: number): void {
    const { device } = this.#parts;
    for (const peer of device.peers) {
      if (peer.lastHandshakeUnixTime > 0 && peer !== server) continue;
      device.initiate(peer, now, interval);
    }
  }

  #setEndpoint(
    peer: Peer | undefined,
    { address, port }: SocketAddress,
    now: number,
  ): void {
    if (peer === undefined) return;
    peer.configureEndpoint({ address, port });
    if (peer.endpoint.transport === Transport.fakeTcp) {
      this.link?.connectAgain({ address, port }, now);
    }
  }

  #setTransport(peer: Peer | undefined, transport: Transport, now: number): void {
    if (peer === undefined) return;
    if (transport === Transport.fakeTcp) this.#connectFakeTcp(peer.endpoint, now);
    else this.link?.disconnect(now);
    this.#parts.device.setTransport(peer, transport);
  }

  #connectFakeTcp({ address, port }: SocketAddress, now: number): void {
    this.link?.connect({ address, port }, now);
  }

  #stop(now: number): void {
    const { device, engine, loop } = this.#parts;
    device.sayGoodbye(now);
    engine.flush(now);
    this.link?.close(now);
    loop.stop();
  }
}
