/** Tests of `lib/dataplane/egress/segment_sender.ts`: neighbours, routes and interfaces that change while it sends. */
import { ENODEV } from "../../../ffi/errno.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { Tap } from "../support/outside.ts";
import {
  CLIENT,
  DEVICE,
  flow,
  isTcp,
  layWay,
  PROGRAMS,
  refusing,
  ROUTER,
  Sender,
  unfinished,
} from "../support/segment_sender.ts";

netTest(
  "SegmentSender goes by the raw socket until the neighbour is known, then by frames",
  async (topology) => {
    const { client, server } = await layWay(topology);
    await client.output(["ip", "neighbour", "flush", "all"]);
    using sender = new Sender(client);
    using tap = new Tap(server);
    const packets = flow({ count: 10 }).map(unfinished);
    assertEquals(sender.send(...packets), 10);
    assertEquals(sender.sender.mergedFrames, 0);
    await tap.waitFor(isTcp, 10);
    await eventually(() => {
      sender.sender.serve();
      sender.sendAgain();
      return sender.sender.mergedFrames > 0 ? true : null;
    });
    await tap.waitFor((packet) => packet.length > 1500);
  },
  PROGRAMS,
);

netTest("SegmentSender follows a neighbour that changes its address", async (topology) => {
  const { client, router, server } = await layWay(topology);
  using sender = new Sender(client);
  using tap = new Tap(server);
  sender.send(...flow({ count: 5 }).map(unfinished));
  await tap.waitFor(isTcp);
  await router.output(["ip", "link", "set", DEVICE, "address", "02:00:00:00:00:77"]);
  await router.output(["ping", "-n", "-q", "-c", "1", "-w", "5", CLIENT]);
  await eventually(() => {
    sender.sender.serve();
    sender.sendAgain();
    return tap.seen().filter(({ packet }) => isTcp(packet)).length > 2 ? true : null;
  });
  assertEquals(sender.sender.offload, true);
}, PROGRAMS);

netTest("SegmentSender has the kernel make sure of a neighbour that it uses", async (topology) => {
  const { client } = await layWay(topology);
  const neighbour = [ROUTER, "dev", DEVICE];
  const state = () => client.output(["ip", "neighbour", "show", ...neighbour]);
  using sender = new Sender(client);
  const packets = flow({ count: 2 }).map(unfinished);
  sender.send(...packets);
  await client.output(["ip", "neighbour", "change", ...neighbour, "nud", "stale"]);
  sender.sender.serve();
  sender.sendAgain();
  assertMatch(await state(), /STALE/, "the frames themselves tell the kernel nothing");
  sender.sender.poll(sender.sender.pollAt() - 1);
  assertMatch(await state(), /STALE/, "it is not time yet");
  sender.sender.poll(sender.sender.pollAt());
  assertMatch(await state(), /DELAY|PROBE|REACHABLE/);
  await client.output(["ip", "neighbour", "change", ...neighbour, "nud", "stale"]);
  sender.sender.serve();
  sender.sender.poll(sender.sender.pollAt());
  assertMatch(await state(), /STALE/, "nothing was sent since");
}, PROGRAMS);

netTest("SegmentSender follows a route that changes", async (topology) => {
  const { client, router, server } = await layWay(topology);
  topology.cable(
    { namespace: client, name: "eth9", address: "203.0.113.2/24" },
    { namespace: router, name: "eth9", address: "203.0.113.1/24" },
  );
  using sender = new Sender(client);
  using tap = new Tap(server);
  using first = new Tap(router);
  using second = new Tap(router, { device: "eth9" });
  sender.send(...flow({ count: 5 }).map(unfinished));
  await tap.waitFor(isTcp);
  await client.output(["ip", "route", "replace", "default", "via", "203.0.113.1"]);
  sender.sender.networkChanged();
  sender.sendAgain();
  await second.waitFor(isTcp);
  assertEquals(first.seen().filter(({ packet }) => isTcp(packet)).length, 1);
}, PROGRAMS);

netTest("SegmentSender looks routes up by its mark", async (topology) => {
  const { client, router } = await layWay(topology);
  // As a full tunnel does: without the mark, everything goes elsewhere.
  await client.output(["ip", "route", "add", "blackhole", "default", "table", "77"]);
  await client.output(["ip", "rule", "add", "not", "fwmark", "0x77", "table", "77"]);
  using marked = new Sender(client, { mark: 0x77 });
  using other = new Sender(client);
  using tap = new Tap(router);
  const packets = flow({ count: 5 }).map(unfinished);
  assertEquals(other.send(...packets), 5);
  assertEquals([other.sender.mergedFrames, other.sender.errorCount], [0, 5]);
  marked.send(...packets);
  await tap.waitFor(isTcp);
  assertEquals(marked.sender.mergedFrames, 1);
}, PROGRAMS);

netTest("SegmentSender looks the route up again when an interface has gone", async (topology) => {
  const { client, server } = await layWay(topology);
  using sender = new Sender(client, { libc: refusing([ENODEV]) });
  using tap = new Tap(server);
  const packets = flow({ count: 5 }).map(unfinished);
  assertEquals(sender.send(...packets), 5);
  await tap.waitFor(isTcp, 5);
  assertEquals([sender.sender.mergedFrames, sender.sender.offload], [0, true]);
  sender.sendAgain();
  assertEquals(sender.sender.mergedFrames, 1);
}, PROGRAMS);
