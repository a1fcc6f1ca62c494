/** Tests of lib/core/wireguard/received.ts: one small integer for the peer and the packet. */
import { MAX_PEERS } from "../../../../lib/core/limits/max_peers.ts";
import {
  received,
  receivedLength,
  receivedOffset,
  receivedPeer,
} from "../../../../lib/core/wireguard/received.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

Deno.test("a result gives back the peer and the length, for the greatest of both", () => {
  for (const peer of [1, 2, 255, MAX_PEERS]) {
    for (const length of [0, 1, 1420, 65_535]) {
      const result = received(peer, length);
      assertEquals([receivedPeer(result), receivedLength(result)], [peer, length]);
      assert(result > 0 && result < 2 ** 30, "a small integer on every platform");
    }
  }
});

Deno.test("a packet begins behind its message's header, moved down to a multiple of 4", () => {
  assertEquals([64, 65, 66, 67, 68].map(receivedOffset), [80, 80, 80, 80, 84]);
});
