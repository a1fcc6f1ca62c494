/** Everyday traffic of a client behind a gateway: what must work, whatever carries it and however it leaves. */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertMatch } from "../../../support/assert.ts";
import { emptyFile } from "../../../support/folder.ts";
import { type TestNamespace } from "../../../support/net.ts";
import { PATIENCE } from "../../../support/time/patience.ts";
import { addressData, buildAnswer } from "../../../support/dns/messages.ts";
import { DnsServer } from "../programs/dns_server.ts";
import { EXTERNAL, GATEWAY_PROGRAMS, INSIDE, INTERNET, UPLINK } from "../gateway.ts";
import { record, type Recording, RECORDING_PROGRAMS } from "./recording.ts";
import { Site } from "../site.ts";
import { ping, tcpFlow, udpFlow } from "./traffic.ts";
import { transfer, TRANSFER_PROGRAMS } from "./transfer.ts";

/** Programs that a test with everyday traffic needs. */
export const EVERYDAY_PROGRAMS: readonly string[] = [
  ...GATEWAY_PROGRAMS,
  ...RECORDING_PROGRAMS,
  ...TRANSFER_PROGRAMS,
  ...["dig", "iperf3", "traceroute"],
];

const SITE_PORT = 80;
const PARALLEL = 200;
const TRANSFER_SIZE = 8_000_000;
/** ms */
const PAUSE = 10_000;
/** How long a page may take. */
const CURL_SECONDS = PATIENCE / 1000;
const NAME = "www.example";
const ANSWER = "198.51.100.77";

/** What the gateway's own kernel says to what it does not understand; a client's packet has lost one hop already. */
const KERNEL_ERRORS = `src host ${EXTERNAL} and ip[8] = 64 and ` +
  "(tcp[tcpflags] & tcp-rst != 0 or icmp[icmptype] = icmp-unreach)";
/** Packets of IPv4 that are not the gateway's: all that the internet must never see. */
const FOREIGN = `ip and not host ${EXTERNAL}`;

/** Watches the wire outside for what must never be on it. */
export async function watchOutside(
  internet: TestNamespace,
): Promise<AsyncDisposable & { end(): Promise<void> }> {
  const recording: Recording = await record(
    internet,
    UPLINK,
    `(${FOREIGN}) or (${KERNEL_ERRORS})`,
    { immediate: true },
  );
  return {
    /** Fails where there was such a packet. */
    async end() {
      await recording.stop();
      assertEquals(await recording.describe("ip"), "");
    },
    [Symbol.asyncDispose]: () => recording[Symbol.asyncDispose](),
  };
}

/** What a client gets to do; `internet` sees all of it come from the gateway's address. */
export async function showEverydayTraffic(
  client: TestNamespace,
  internet: TestNamespace,
): Promise<void> {
  await using site = new Site(internet, SITE_PORT);
  await using watch = await watchOutside(internet);
  const idle = client.spawn(curl(`http://${INTERNET}/pause/${PAUSE}`));
  assertEquals((await ping(client, INTERNET)).received, 3);
  await showRoute(client);
  assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
  await showDns(client, internet);
  const { intact } = await transfer(client, internet, {
    address: INTERNET,
    length: TRANSFER_SIZE,
  });
  assert(intact, "an upload arrived otherwise than it was sent");
  assert(await downloads(client, site), "a download arrived otherwise than it was sent");
  for (const reverse of [false, true]) {
    const tcp = await tcpFlow(client, internet, INTERNET, { bytes: 10e6, reverse });
    assert(tcp.receivedBytes > 5e6, `TCP, reverse=${reverse}: ${tcp.receivedBytes} bytes`);
    const udp = await udpFlow(client, internet, INTERNET, { seconds: 1, reverse });
    assert(udp.packets > 20, `UDP, reverse=${reverse}: ${udp.packets} packets`);
    // Where the machine is busy with other things, iperf3 itself is too slow for many.
    assert(udp.lost < udp.packets * 0.5, `UDP, reverse=${reverse}: ${udp.lost} lost`);
  }
  await showParallel(client, site);
  await idle.waitFor(/^before after$/);
  await watch.end();
}

/** Whether the site's file arrives as it was sent: what is merged and split on its way gets new checksums. */
export async function downloads(
  client: TestNamespace,
  site: Site,
  host = INTERNET,
): Promise<boolean> {
  const path = emptyFile();
  try {
    await client.output([...curl(`http://${host}/file`), "--output", path]);
    return digest(await Deno.readFile(path)) === digest(site.file);
  } finally {
    await Deno.remove(path);
  }
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function showRoute(client: TestNamespace): Promise<void> {
  const route = await client.output(
    ["traceroute", "-n", "-q", "1", "-N", "1", "-w", "3", "-m", "4", INTERNET],
  );
  const hops = route.trim().split("\n").slice(1).map((line) => line.trim().split(/\s+/)[1]);
  assertEquals(hops, [INSIDE, INTERNET], route);
}

async function showDns(client: TestNamespace, internet: TestNamespace): Promise<void> {
  using server = new DnsServer(
    internet,
    [INTERNET],
    ({ query }) => [buildAnswer(query, { answers: [{ data: addressData(ANSWER) }] })],
  );
  for (const transport of ["+notcp", "+tcp"]) {
    const answer = await client.output(
      ["dig", `@${INTERNET}`, "+short", "+tries=1", "+time=20", transport, NAME],
    );
    assertEquals(answer, `${ANSWER}\n`);
  }
  assertEquals(server.questions.map(({ transport }) => transport), ["udp", "tcp"]);
  for (const { from } of server.questions) assertEquals(from, EXTERNAL);
}

/** All of them are open at the same time: the site answers none before the last has come. */
async function showParallel(client: TestNamespace, site: Site): Promise<void> {
  const answers = await client.output([
    ...curl(`http://${INTERNET}/meeting/${PARALLEL}/[1-${PARALLEL}]`),
    ...["--parallel", "--parallel-immediate", "--parallel-max", `${PARALLEL}`],
  ]);
  assertMatch(answers, new RegExp(`^(?:met\n){${PARALLEL}}$`));
  assertEquals(new Set(site.guests.map(({ port }) => port)).size, PARALLEL);
  for (const { address } of site.guests) assertEquals(address, EXTERNAL);
}

/** What a page says. */
export function fetchText(
  namespace: TestNamespace,
  url: string,
  seconds = CURL_SECONDS,
): Promise<string> {
  return namespace.output(curl(url, seconds), { timeoutMs: seconds * 1000 + PATIENCE });
}

/** The command that fetches a page, without keepalives of TCP's own. */
export function curl(url: string, seconds = CURL_SECONDS): string[] {
  return ["curl", "--silent", "--show-error", "--no-keepalive", "--max-time", `${seconds}`, url];
}
