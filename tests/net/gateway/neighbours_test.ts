/** Tests of `ffi/netlink/neighbours.ts`: what the kernel says of neighbours, and what it is told to do about them. */
import { ENODEV } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { parseIp } from "../../../ffi/netlink/ip_address.ts";
import {
  type Neighbour,
  NeighbourMonitor,
  NeighbourState,
} from "../../../ffi/netlink/neighbours.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { DEVICE, GATEWAY, layOutskirts, OUTSIDE } from "../support/outside.ts";

const PROGRAMS = { programs: ["ip", "ping"] };
const ABSENT = "192.0.2.200";
const HARDWARE_ADDRESS = Uint8Array.of(2, 0, 0, 0, 0, 9);

netTest("find() gives a neighbour's address and state, or null", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  const { links, neighbours } = gateway.rtnetlink;
  const link = links.get(DEVICE).index;
  const found = neighbours.find({ link, address: parseIp(OUTSIDE) });
  assertEquals(found?.hardwareAddress, outside.rtnetlink.links.get(DEVICE).hardwareAddress);
  assertEquals(found?.address, parseIp(OUTSIDE));
  assertEquals(found?.link, link);
  assertEquals(neighbours.find({ link, address: parseIp(ABSENT) }), null);
  await gateway.output([
    ...["ip", "neighbour", "add", ABSENT, "lladdr", "02:00:00:00:00:09", "dev", DEVICE],
    ...["nud", "permanent"],
  ]);
  const permanent = neighbours.find({ link, address: parseIp(ABSENT) });
  assertEquals(permanent?.state, NeighbourState.permanent);
  assertEquals(permanent?.hardwareAddress, HARDWARE_ADDRESS);
}, PROGRAMS);

netTest("use() makes the kernel ask, and NeighbourMonitor tells the answer", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  const { links, neighbours } = gateway.rtnetlink;
  const link = links.get(DEVICE).index;
  await gateway.output(["ip", "neighbour", "flush", "all"]);
  using monitor = gateway.inside(() => NeighbourMonitor.open(openLibc()));
  const events: Neighbour[] = [];
  const heard = (wanted: (event: Neighbour) => boolean) =>
    eventually(() => {
      events.push(...monitor.read()!);
      return events.find(wanted) ?? null;
    });
  neighbours.use({ link, address: parseIp(OUTSIDE) });
  const answer = await heard(({ state }) => state === NeighbourState.reachable);
  assertEquals(answer.address, parseIp(OUTSIDE));
  assertEquals(answer.hardwareAddress, outside.rtnetlink.links.get(DEVICE).hardwareAddress);
  await gateway.output(["ip", "neighbour", "delete", OUTSIDE, "dev", DEVICE]);
  await heard(({ state, hardwareAddress }) =>
    state === NeighbourState.failed && hardwareAddress === null
  );
}, PROGRAMS);

netTest("find() gives no address of a neighbour that does not answer", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  const { links, neighbours } = gateway.rtnetlink;
  const id = { link: links.get(DEVICE).index, address: parseIp(ABSENT) };
  neighbours.use(id);
  const found = neighbours.find(id);
  assertEquals([found?.state, found?.hardwareAddress], [NeighbourState.incomplete, null]);
}, PROGRAMS);

netTest("use() throws ENODEV where there is no such interface", (topology) => {
  const { neighbours } = topology.namespace("none").rtnetlink;
  const error = assertThrows(
    () => neighbours.use({ link: 4711, address: parseIp(GATEWAY) }),
    NetlinkError,
  );
  assertEquals(error.errno, ENODEV);
  assert(error.message.startsWith(`Cannot resolve neighbour ${GATEWAY} on link 4711: `));
});
