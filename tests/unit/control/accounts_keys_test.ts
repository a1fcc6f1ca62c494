/** Shows that what a peer has used stays its own when its next key takes the place of the one it had. */
import { Accounts } from "../../../lib/control/accounts.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import type { PeerQuota } from "../../../lib/dataplane/data_plane_protocol.ts";
import { AccountStore } from "../../../lib/host/accounts/account_store.ts";
import { getLogger } from "../../../lib/process/logging.ts";
import { assertEquals } from "../../support/assert.ts";
import { peerKey } from "../../support/control/sample_peer.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";

const NOW = Date.UTC(2026, 10, 28, 12);
const [OLD, NEW] = [peerKey(7), peerKey(8)];
const PEER = { name: "laptop", quota: { bytes: 1e6, period: "total" }, quotaRate: null } as const;

async function begin(path: string, told: PeerQuota[]): Promise<Accounts> {
  return await Accounts.start({
    path,
    now: () => NOW,
    logger: getLogger("control"),
    dataPlane: {
      usage: () => Promise.resolve([]),
      setQuotas: (quotas) => Promise.resolve(void told.push(...quotas)),
    },
  });
}

hostTest(
  "usage goes with a peer to its next key, whichever of file and data plane knows first",
  async () => {
    const folder = temporaryFolder();
    const path = `${folder}/vpn0.sqlite`;
    const told: PeerQuota[] = [];
    const nextKey = { publicKey: NEW, presharedKey: null, since: null };
    {
      await using accounts = await begin(path, told);
      const report = (publicKey: Uint8Array, receivedBytes: number) =>
        accounts.take({
          kind: "usage",
          publicKey,
          receivedBytes,
          sentBytes: 100,
          isRemoved: false,
        });
      accounts.follow(new Map([[encodeKey(OLD), { ...PEER, nextKey }]]));
      report(OLD, 100);
      told.length = 0;
      // The data plane has gone over, and counts on.
      report(NEW, 150);
      assertEquals(accounts.quotaOf(encodeKey(OLD), 250)?.used, 250);
      accounts.follow(new Map([[encodeKey(NEW), { ...PEER, nextKey: null }]]));
      assertEquals(accounts.quotaOf(encodeKey(NEW), 250)?.used, 250);
      assertEquals(told, [], "it is held to the same end as before");
      report(NEW, 160);
    }
    {
      using store = await AccountStore.openToRead(path);
      assertEquals([OLD, NEW].map((key) => store.used(encodeKey(key), null)), [0, 260]);
      for (const by of ["hour", "day"] as const) {
        assertEquals(store.usage(by).map(({ peer }) => peer), [encodeKey(NEW)]);
      }
    }
    await using again = await begin(path, told);
    again.follow(new Map([[encodeKey(NEW), { ...PEER, nextKey: null }]]));
    assertEquals(told.map(({ quota }) => quota?.end), [999_740]);
  },
);
