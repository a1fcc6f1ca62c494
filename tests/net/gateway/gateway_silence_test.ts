/**
 * The gateway's kernel keeps silent about packets that are the NAT's. Without the rules it does not, so these tests can
 * fail: it answers a SYN/ACK for a port that no socket owns with RST, and a datagram with ICMP port unreachable.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { curl, watchOutside } from "../support/traffic/everyday.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INTERNET,
  UPLINK,
} from "../support/gateway.ts";
import { eventually } from "../../support/time/patience.ts";
import { record, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { capture } from "../support/traffic/traffic.ts";
import { Site } from "../support/site.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, ...RECORDING_PROGRAMS, "curl", "dig", "nft"];
const TABLE = "vpn_vpn0";
const RESET = `src host ${EXTERNAL} and tcp[tcpflags] & tcp-rst != 0 and ip[8] = 64`;
const SYN_ACK = `dst host ${EXTERNAL} and tcp[tcpflags] = (tcp-syn | tcp-ack)`;
const UNREACHABLE = `src host ${EXTERNAL} and icmp[icmptype] = icmp-unreach and ip[8] = 64`;

const page = curl(`http://${INTERNET}/`);
const question = ["dig", `@${INTERNET}`, "+tries=1", "+time=20", "www.example"];

function resolver(internet: TestNamespace): DnsServer {
  return new DnsServer(
    internet,
    [INTERNET],
    ({ query }) => [buildAnswer(query, { answers: [{ data: addressData("198.51.100.77") }] })],
  );
}

for (const Capture of ["packet", "nfqueue"]) {
  netTest(`the gateway's kernel says nothing when Capture is ${Capture}`, async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { client: { namespace: client }, internet } = network;
    await network.startBoth({ Capture });
    await using _site = new Site(internet, 80);
    using _resolver = resolver(internet);
    await using watch = await watchOutside(internet);
    for (let round = 0; round < 5; round++) {
      assertEquals(await client.output(page), `hello ${EXTERNAL}`);
      await client.output(question);
    }
    await watch.end();
  }, { programs: PROGRAMS });
}

netTest("the gateway's kernel resets connections when the rules are removed", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { client: { namespace: client }, internet } = network;
  const gateway = await network.startBoth();
  // It is put back within a second, and after growing pauses where somebody takes it away at once again.
  const remove = `while :; do nft delete table netdev ${TABLE} 2>/dev/null; sleep 0.01; done`;
  await using _remover = network.gateway.spawn(["sh", "-c", remove]);
  await gateway.waitFor(/the tunnel is degraded, without nftables table netdev/);
  await using _site = new Site(internet, 80);
  using _resolver = resolver(internet);
  await using recording = await record(internet, UPLINK, "tcp or icmp", { immediate: true });
  await using watch = await watchOutside(internet);
  // One that comes just when the table has been put back, until it is removed again, gets no such answer.
  const repeated = async (what: string, filter: string, command: readonly string[]) => {
    await using answers = await capture(internet, UPLINK, filter);
    await eventually(async () => {
      await client.run(command);
      return answers.count() > 0 || null;
    }, { what });
  };
  await repeated("RST", RESET, page);
  await repeated("ICMP port unreachable", UNREACHABLE, question);
  await recording.stop();
  const [resetAt] = await recording.times(RESET);
  const answeredAt = (await recording.times(SYN_ACK)).findLast((at) => at < resetAt!);
  assert(answeredAt !== undefined && resetAt !== undefined, await recording.describe("ip"));
  const elapsed = resetAt - answeredAt;
  // Before the SYN/ACK is sent again, after a second.
  assert(elapsed > 0 && elapsed < 900, `the RST came after ${elapsed} ms`);
  assertMatch(await recording.describe(UNREACHABLE), /udp port \d+ unreachable/);
  // What the other tests find nothing with finds these.
  await assertRejects(() => watch.end(), Error, "Flags [R]");
}, { programs: PROGRAMS });
