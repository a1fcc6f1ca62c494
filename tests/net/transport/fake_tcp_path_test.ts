/** Tests of `lib/dataplane/fake_tcp/fake_tcp_path.ts` against the kernel's routing. */
import { pathMtuTo, sourceTo, widestMtu } from "../../../lib/dataplane/fake_tcp/fake_tcp_path.ts";
import { assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { addressOf } from "../support/outside.ts";
import {
  addIpv6,
  CABLE,
  CLIENT_OUTSIDE,
  CLIENT_OUTSIDE6,
  layWire,
  SERVER_OUTSIDE,
  SERVER_OUTSIDE6,
} from "../support/wire.ts";

const FAR = addressOf("203.0.113.5");
const OPTIONS = { mark: 0 };

netTest("the route to the transport's other end is the kernel's", async (topology) => {
  const wire = await layWire(topology);
  const { client } = wire;
  const { rtnetlink } = client;
  assertEquals(sourceTo(rtnetlink, addressOf(SERVER_OUTSIDE), OPTIONS), addressOf(CLIENT_OUTSIDE));
  assertEquals(pathMtuTo(rtnetlink, addressOf(SERVER_OUTSIDE), OPTIONS), 1500);
  assertEquals(sourceTo(rtnetlink, FAR, OPTIONS), null, "there is no way");
  assertEquals(pathMtuTo(rtnetlink, FAR, OPTIONS), 1500);
  await client.output(["ip", "route", "add", "default", "via", SERVER_OUTSIDE, "mtu", "1400"]);
  assertEquals(sourceTo(rtnetlink, FAR, OPTIONS), addressOf(CLIENT_OUTSIDE));
  assertEquals(pathMtuTo(rtnetlink, FAR, OPTIONS), 1400);
  assertEquals(widestMtu(rtnetlink), 1500, "loopback does not count");
  await client.output(["ip", "link", "set", CABLE, "mtu", "9000"]);
  assertEquals(widestMtu(rtnetlink), 9000);
  // A mark may lead another way.
  await client.output(["ip", "rule", "add", "fwmark", "7", "prohibit"]);
  assertEquals(sourceTo(rtnetlink, FAR, { mark: 7 }), null);
  // The same of IPv6.
  await addIpv6(wire);
  assertEquals(sourceTo(rtnetlink, SERVER_OUTSIDE6, OPTIONS), CLIENT_OUTSIDE6);
  assertEquals(pathMtuTo(rtnetlink, SERVER_OUTSIDE6, OPTIONS), 9000);
  const onward = ["via", SERVER_OUTSIDE6, "mtu", "1400"];
  assertEquals(sourceTo(rtnetlink, "2001:db8:f::5", OPTIONS), null);
  await client.output(["ip", "-6", "route", "add", "2001:db8:f::/48", ...onward]);
  assertEquals(sourceTo(rtnetlink, "2001:db8:f::5", OPTIONS), CLIENT_OUTSIDE6);
  assertEquals(pathMtuTo(rtnetlink, "2001:db8:f::5", OPTIONS), 1400);
}, { programs: ["ip"] });
