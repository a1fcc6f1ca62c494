/** Tests of `lib/host/firewall/gateway_tables.ts` against a kernel that refuses. */
import { EAFNOSUPPORT, EINVAL, ENOENT, EOPNOTSUPP } from "../../../../ffi/errno.ts";
import { Nftables } from "../../../../ffi/netlink/nftables/nftables.ts";
import { NLMSGHDR } from "../../../../ffi/netlink/message.ts";
import { NetlinkError } from "../../../../ffi/netlink/socket.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../../support/assert.ts";
import { ScriptedKernel } from "../../../support/packets/scripted_kernel.ts";
import { installNotrack, installQueue } from "../../../../lib/host/firewall/gateway_tables.ts";
import {
  acknowledge,
  answer,
  DROP,
  NO_TABLES,
  open,
  PROBE_REQUESTS,
  split,
} from "../../../support/packets/nftables_kernel.ts";

Deno.test("installNotrack() takes a table of IPv4 where the kernel has none of both families", () => {
  for (const errno of [EOPNOTSUPP, EAFNOSUPPORT]) {
    const refused = answer(1, errno);
    const kernel = new ScriptedKernel(refused, NO_TABLES, acknowledge(3));
    installNotrack(Nftables.open(kernel.libc(), { owned: false }), { table: "t", mark: 1 });
    const [, newTable] = split(kernel.requests[2]!);
    // NFPROTO_IPV4.
    assertEquals(newTable![NLMSGHDR.size], 2);
  }
});

Deno.test("installQueue() takes the NFQUEUE target where nftables has no queue, and says when there is neither", () => {
  const spec = { ...DROP, queue: 7 };
  const refused = () => answer(3, ENOENT);
  const kernel = new ScriptedKernel(
    acknowledge(PROBE_REQUESTS),
    ...[NO_TABLES, refused(), NO_TABLES, acknowledge(5)],
    ...[NO_TABLES, refused(), NO_TABLES, refused()],
    ...[NO_TABLES, answer(3, EINVAL)],
  );
  const nftables = open(kernel);
  installQueue(nftables, spec);
  const text = (request: number) => new TextDecoder("latin1").decode(kernel.requests[request]);
  assert(text(2).includes("queue\0") && !text(2).includes("NFQUEUE"));
  assert(text(4).includes("NFQUEUE\0"));
  const neither = assertThrows(() => installQueue(nftables, spec), Error);
  assertMatch(neither.message, /^Cannot queue packets: the kernel has neither .*NFT_QUEUE/);
  // Any other refusal is no reason to try something else.
  assertEquals(assertThrows(() => installQueue(nftables, spec), NetlinkError).errno, EINVAL);
  assert(kernel.finished);
});
