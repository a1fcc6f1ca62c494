/** Tests of lib/core/wireguard/path/path_watch.ts: when a path is looked at again in the midst of a session. */
import { PathMtuSearch } from "../../../../../lib/core/wireguard/path/path_mtu.ts";
import { PathWatch } from "../../../../../lib/core/wireguard/path/path_watch.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { stubPeer, stubSession } from "../../../../support/wireguard/peer_stub.ts";

/** A watch of one peer whose path has been looked at, at 0, and takes 1,500 bytes. */
function watched() {
  const peer = stubPeer();
  peer.current = stubSession(peer, 1);
  const search = new PathMtuSearch(1420);
  const watch = new PathWatch(search, () => [peer]);
  watch.looked(peer, 1500, 0);
  peer.provenMtu = 1420;
  /** Asks for the first link, which takes that. Returns how many peers were asked for. */
  const ask = (pathMtu: number | null, now: number) => {
    let count = 0;
    for (let next = watch.next(); next !== null; next = watch.next()) {
      watch.asked(next, pathMtu, now);
      count++;
    }
    return count;
  };
  return { peer, search, watch, ask };
}

Deno.test("a path is probed again at once when its first link takes something else", () => {
  const { search, watch, ask } = watched();
  watch.networkChanged();
  assertEquals(watch.pollAt(), 0);
  assertEquals([ask(1500, 5), search.pollAt()], [1, Infinity]);
  // Between two routes.
  watch.networkChanged();
  assertEquals([ask(null, 6), search.pollAt()], [1, Infinity]);
  watch.networkChanged();
  assertEquals([ask(1300, 7), search.pollAt()], [1, 7]);
  assertEquals(watch.next(), null);
});

Deno.test("a change of the network while paths are asked for has them asked for once more", () => {
  const { watch, ask } = watched();
  watch.networkChanged();
  watch.networkChanged();
  watch.networkChanged();
  assertEquals(ask(1500, 5), 2);
});

Deno.test("a path in use is probed again from time to time, and no other", () => {
  const { peer, search, watch } = watched();
  const probedAt = (until: number, from = 0): number | null => {
    for (let now = from; now <= until; now = Math.max(now + 1, watch.pollAt())) {
      watch.poll(now);
      if (search.pollAt() < Infinity) return now;
    }
    return null;
  };
  peer.sentBytes = 500;
  assertEquals(probedAt(60_000), null);
  peer.received(5_000);
  assertEquals(probedAt(120_000, 60_000) !== null, true);
});

Deno.test("a path without a session is not asked for, and nothing is waited for", () => {
  const { peer, watch, ask } = watched();
  peer.current = null;
  watch.networkChanged();
  assertEquals(ask(1300, 1), 0);
  watch.poll(watch.pollAt());
  assertEquals(watch.pollAt(), Infinity);
});
