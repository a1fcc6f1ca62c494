/** Statistics of the data plane: what passed, and the state of each peer, page by page. */
import { errnoName } from "../../ffi/errno.ts";
import { DROP_REASON_NAMES, DropReason } from "../core/wire/drop_reason.ts";
import type { Peer } from "../core/wireguard/peer.ts";
import type { DataPlaneParts } from "./build.ts";
import type { PeerStatistics, Statistics } from "./data_plane_protocol.ts";
import type { FakeTcpLink } from "./fake_tcp/fake_tcp_link.ts";

/** Peers in one page: thousands of them would hold up packets, and the main thread as well. */
const PAGE_SIZE = 256;

/** Why the kernel refused to send, the last time: it is cleared once the log has it, and kept here. */
export class SendErrors {
  readonly #parts: Pick<DataPlaneParts, "socket">;
  #told: string | null = null;

  constructor(parts: Pick<DataPlaneParts, "socket">) {
    this.#parts = parts;
  }

  /** The name of the last error; null where there was none. */
  last(): string | null {
    const { lastSendError } = this.#parts.socket;
    return lastSendError === 0 ? this.#told : errnoName(lastSendError);
  }

  /** The name of the last error since this was last asked; null where there was none. */
  takeNew(): string | null {
    const { socket } = this.#parts;
    if (socket.lastSendError === 0) return null;
    this.#told = errnoName(socket.lastSendError);
    socket.lastSendError = 0;
    return this.#told;
  }
}

export class StatisticsPages {
  readonly #parts: DataPlaneParts;
  readonly #sendErrors: SendErrors;
  readonly #link: () => FakeTcpLink | null;
  /** What is left of the peers for the pages that are being asked for. */
  #unreported: Iterator<Peer> = [][Symbol.iterator]();

  /** @param link fake TCP's, if it is open */
  constructor(parts: DataPlaneParts, sendErrors: SendErrors, link: () => FakeTcpLink | null) {
    this.#parts = parts;
    this.#sendErrors = sendErrors;
    this.#link = link;
  }

  /** The first page, or the next one. */
  page(isFirst: boolean, now: number): { statistics: Statistics; isLast: boolean } {
    if (isFirst) this.#unreported = this.#parts.device.peers[Symbol.iterator]();
    const peers: PeerStatistics[] = [];
    while (peers.length < PAGE_SIZE) {
      const next = this.#unreported.next();
      if (next.done) break;
      peers.push(this.#peerStatistics(next.value, now));
    }
    return { statistics: this.#statistics(peers), isLast: peers.length < PAGE_SIZE };
  }

  #peerStatistics(peer: Peer, now: number): PeerStatistics {
    const { access, config, device, egresses, workers } = this.#parts;
    const isTranslated = typeof config.egress === "object";
    return {
      publicKey: peer.publicKey,
      name: peer.name,
      endpoint: { address: peer.endpoint.address, port: peer.endpoint.port },
      transport: peer.endpoint.transport,
      lastHandshake: peer.lastHandshakeUnixTime,
      silence: peer.lastReceivedAt === -Infinity ? null : now - peer.lastReceivedAt,
      // One whose endpoint was taken away has said goodbye, or was released after its silence.
      isDown: (peer.watch?.isDown ?? false) || peer.endpoint.port === 0,
      otherPlace: peer.sharedKey.otherPlace(now),
      ...extensionStatistics(peer),
      allowedIps: device.allowedIps.entries(peer),
      allowedIps6: device.allowedIps6.entries(peer),
      persistentKeepalive: peer.timers.persistentInterval / 1000,
      mtu: peer.mtu,
      rateLimit: peer.fromLimit?.rate ?? null,
      rateLimited: peer.rateLimited,
      accessId: peer.accessId,
      denials: access?.table.denialsOf(peer.accessId) ?? [],
      nat: egresses.usageOf(peer) ??
        (isTranslated && workers !== null ? workers.natUsageOf(peer.index) : null),
      receivedBytes: peer.receivedBytes,
      sentBytes: peer.sentBytes,
    };
  }

  #statistics(peers: readonly PeerStatistics[]): Statistics {
    const { drops: { counts }, egresses, fleet, handshakes, socket } = this.#parts;
    const drops: Record<string, number> = {};
    // The kernel counts these; no packet of them ever came here.
    counts[DropReason.captureOverflow] = egresses.captureDrops() +
      (this.#link()?.socket.capture.drops() ?? 0);
    counts[DropReason.receiveOverflow] = socket.drops() +
      (handshakes?.socket.drops() ?? 0) + (fleet?.receiveDrops() ?? 0);
    counts.forEach((count, reason) => {
      if (count > 0) drops[DROP_REASON_NAMES[reason]] = count;
    });
    return {
      drops,
      segmentation: socket.segmentation,
      sendError: this.#sendErrors.last(),
      nat: {
        mappings: egresses.mappingCount,
        sendErrors: egresses.sendErrors(),
        sessions: egresses.sessionCount,
      },
      services: egresses.ipv4?.serviceFigures() ?? [],
      peers,
      workers: [],
    };
  }
}

/** What is known by the extensions. */
function extensionStatistics(
  { watch }: Peer,
): Pick<PeerStatistics, "software" | "roundTrip" | "hello" | "clockOffset"> {
  const { software, hello, clockOffset } = watch!.recognition;
  return { software, roundTrip: watch!.roundTrip.smoothed, hello, clockOffset };
}
