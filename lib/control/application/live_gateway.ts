/** Live gateway: what a change of the store comes to in the peers and groups of a gateway that runs. */
import { decodeKey } from "../../core/config/values/key_text.ts";
import { successions } from "../../core/peers/key_succession.ts";
import { settledGroup, settledPeer } from "../../core/peers/peer_settings.ts";
import type { StoreOutcome } from "../../core/peers/peer_store.ts";
import type { LiveChange, LivePeers } from "../live_peers.ts";
import { located } from "../peer_params.ts";
import type { LiveGateway } from "./peer_application.ts";

/** @param record is told of a group that has changed, by its name, what of it has, and by whom */
export function liveGateway(
  peers: Pick<LivePeers, "peers" | "change">,
  record: (detail: string) => void,
): LiveGateway {
  return {
    peers: () => peers.peers,
    apply: async (outcome, by) => {
      const groups = changedGroups(outcome);
      const all = Array.from(outcome.after.groups, ([name, group]) => settledGroup(name, group));
      await peers.change(peerChanges(outcome), groups.length > 0 ? { groups: all, by } : { by });
      for (const group of groups) record(`${group} by ${by}`);
    },
  };
}

/** Removals first: a network, or a name, is free before another peer gets it. */
function peerChanges({ before, after }: StoreOutcome): LiveChange[] {
  const former = successions({ before, after });
  const replaced = new Set(former.values());
  const removed = Array.from(before.peers.keys())
    .filter((key) => !after.peers.has(key) && !replaced.has(key));
  const put = Array.from(after.peers).filter(([key, settings]) =>
    isOther(settings, before.peers.get(key))
  );
  return [
    ...removed.map((key): LiveChange => ({ kind: "remove", publicKey: decodeKey(key)! })),
    ...put.map(([key, settings]): LiveChange => {
      const peer = settledPeer(decodeKey(key)!, settings);
      // One that is to be looked for where it was stays where it has roamed to.
      const replaces = former.get(key);
      const earlier = before.peers.get(replaces ?? key);
      const isMoved = settings.Endpoint !== earlier?.Endpoint;
      return {
        kind: "put",
        peer: isMoved ? located(peer) : { ...peer, endpoint: null },
        ...(replaces === undefined ? {} : { replaces }),
      };
    }),
  ];
}

/** What a change does not concern is the same object in most cases, as of thousands. */
function isOther(one: object | undefined, other: object | undefined): boolean {
  return one !== other && JSON.stringify(one) !== JSON.stringify(other);
}

function changedGroups({ before, after }: StoreOutcome): string[] {
  const names = new Set([...before.groups.keys(), ...after.groups.keys()]);
  return Array.from(names).flatMap((name) => {
    const [was, is] = [before.groups.get(name), after.groups.get(name)];
    if (!isOther(was, is)) return [];
    const what = was === undefined ? "added" : is === undefined ? "removed" : "changed";
    return [`group ${name} ${what}`];
  });
}
