/** Worker sums: the figures of all packet workers, added to what the device's thread knows. */
import type { Denials } from "../../core/access/access_items.ts";
import { DROP_REASON_NAMES, DropReason } from "../../core/wire/drop_reason.ts";
import type { PeerStatistics, Statistics } from "../data_plane_protocol.ts";
import type { WorkerFigures } from "./worker_figures.ts";

/** Adds what packet workers have done, and not told the device's thread. */
export function withWorkers(
  statistics: Statistics,
  workers: readonly WorkerFigures[],
): Statistics {
  const sum = (of: (figures: WorkerFigures) => number) =>
    workers.reduce((total, figures) => total + of(figures), 0);
  const drops = { ...statistics.drops };
  const add = (reason: DropReason, count: number) => {
    const name = DROP_REASON_NAMES[reason];
    if (count > 0) drops[name] = (drops[name] ?? 0) + count;
  };
  add(DropReason.receiveOverflow, sum(({ overflow }) => overflow));
  add(DropReason.captureOverflow, sum(({ nat }) => nat?.overflow ?? 0));
  return {
    ...statistics,
    peers: withDenials(statistics.peers, workers),
    drops,
    nat: {
      mappings: sum(({ nat }) => nat?.mappings ?? 0),
      sessions: sum(({ nat }) => nat?.sessions ?? 0),
      sendErrors: sumByName(workers.map(({ nat }) => nat?.sendErrors ?? {})),
    },
    services: workers.flatMap(({ nat }) => nat?.services ?? []),
    segmentation: workers.every(({ segmentation }) => segmentation),
    sendError: workers.find(({ sendError }) => sendError !== null)?.sendError ??
      statistics.sendError,
    workers,
  };
}

function sumByName(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [name, count] of counts.flatMap((each) => Object.entries(each))) {
    sums[name] = (sums[name] ?? 0) + count;
  }
  return sums;
}

/** Adds what access rules have cost peers in each worker. */
function withDenials(
  peers: readonly PeerStatistics[],
  workers: readonly WorkerFigures[],
): readonly PeerStatistics[] {
  const all = workers.flatMap(({ denials }) => denials);
  if (all.length === 0) return peers;
  const byPeer = Map.groupBy(all, ({ id }) => id);
  return peers.map((peer) => {
    const sums = new Map<number, Denials>();
    for (const each of [...peer.denials, ...byPeer.get(peer.accessId) ?? []]) {
      const packets = (sums.get(each.rule)?.packets ?? 0) + each.packets;
      sums.set(each.rule, { ...each, packets });
    }
    return { ...peer, denials: [...sums.values()] };
  });
}
