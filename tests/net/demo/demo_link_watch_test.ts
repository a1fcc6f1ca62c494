/** Shows that the demo's watch sees what a gateway's kernel does, so that the step which relies on it can fail. */
import { openLibc } from "../../../ffi/libc.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { LinkWatch } from "../../../lib/commands/demo/link_watch.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { buildIcmp, buildTcp, buildUdp } from "../../support/packets/packet_builder.ts";
import {
  addressOf,
  afterPing,
  DEVICE,
  GATEWAY,
  Injector,
  layOutskirts,
  OUTSIDE,
  Tap,
} from "../support/outside.ts";
import { installIngressDrop } from "../../../lib/host/firewall/gateway_tables.ts";

const WITH_PING = { programs: ["ping"] };
const PORT = 20_000;
const FLAG_SYN = 0x02;
const FLAG_ACK = 0x10;
const OUTWARDS = { source: GATEWAY, destination: OUTSIDE };
const INWARDS = { source: OUTSIDE, destination: GATEWAY };

/** What comes for a port of the NAT's that no socket of the gateway's has. */
const answers = [
  buildTcp({
    ...INWARDS,
    sourcePort: 80,
    destinationPort: PORT,
    flags: FLAG_SYN | FLAG_ACK,
    acknowledgmentNumber: 1,
  }),
  buildUdp({ ...INWARDS, sourcePort: 53, destinationPort: PORT }),
];

function openWatch(outside: TestNamespace): LinkWatch {
  const { index } = outside.rtnetlink.links.get(DEVICE);
  const options = { link: index, address: addressOf(GATEWAY) };
  return outside.inside(() => new LinkWatch(openLibc(), options));
}

netTest(
  "LinkWatch names the RST and the ICMP unreachable that the drop rules prevent",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using watch = openWatch(outside);
    using tap = new Tap(outside);
    using injector = new Injector(outside);
    injector.send(...answers);
    await afterPing(injector, tap);
    assertEquals(watch.look(), {
      // With the answer to the ping.
      packets: 3,
      offences: [
        `RST from ${GATEWAY}:${PORT} to ${OUTSIDE}:80`,
        `ICMP unreachable, code 3, from ${GATEWAY} to ${OUTSIDE}`,
      ],
    });

    using nftables = gateway.inside(() => Nftables.open(openLibc()));
    const range = { first: PORT, last: PORT };
    installIngressDrop(nftables, {
      table: "vpn_test",
      device: DEVICE,
      address: addressOf(GATEWAY),
      ports: { tcp: [range], udp: [range] },
    });
    injector.send(...answers);
    await afterPing(injector, tap);
    assertEquals(watch.look(), { packets: 1, offences: [] });
  },
  WITH_PING,
);

netTest(
  "LinkWatch passes over segments under way, and over what its own end sends",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using watch = openWatch(outside);
    using tap = new Tap(outside);
    using inside = new Injector(gateway);
    using injector = new Injector(outside);
    // To ports where nothing listens: the other end answers with RST and ICMP unreachable.
    inside.send(
      buildTcp({ ...OUTWARDS, flags: FLAG_SYN }),
      buildTcp({ ...OUTWARDS, flags: FLAG_ACK }),
      buildUdp(OUTWARDS),
      buildIcmp(OUTWARDS),
    );
    await afterPing(injector, tap);
    assertEquals(watch.look(), { packets: 4, offences: [] });
    assertEquals(watch.look(), { packets: 0, offences: [] });
  },
  WITH_PING,
);

netTest("LinkWatch names what does not come from the gateway's address", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using watch = openWatch(outside);
  using tap = new Tap(outside);
  using inside = new Injector(gateway);
  using injector = new Injector(outside);
  inside.send(buildTcp({ source: "10.66.77.2", destination: OUTSIDE, flags: FLAG_ACK }));
  await afterPing(injector, tap);
  assertEquals(watch.look().offences, [`a packet from 10.66.77.2 to ${OUTSIDE}`]);
}, WITH_PING);

netTest("LinkWatch says when more came than it could keep", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using watch = openWatch(outside);
  using inside = new Injector(gateway);
  const packets = Array.from({ length: 64 }, () => buildUdp(OUTWARDS));
  for (let i = 0; i < 500; i++) inside.send(...packets);
  const { packets: seen, offences } = watch.look();
  assert(seen > 1_000, `${seen} packets`);
  assertEquals(offences.map((line) => line.replace(/^\d+/, "N")), ["N packets that came too fast"]);
}, WITH_PING);
