/** Tests of looking a name up past a full tunnel, by resolvers that the test writes. */
import { lookUpDirectly } from "../../../lib/host/dns/direct_lookup.ts";
import { resolveAgain } from "../../../lib/host/dns/resolve.ts";
import { type HostAddress, ipv6Bytes } from "../../../lib/core/wire/host_address.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { addressData, buildAnswer, buildQuery } from "../../support/dns/messages.ts";
import { assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { CABLE, layWire, SERVER_OUTSIDE } from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const NAME = "vpn.example";
const ADDRESS = parseIpv4("203.0.113.7")!;
const SERVER = parseIpv4(SERVER_OUTSIDE)!;
const MARK = 0xca6c;
const GOOD = { answers: [{ data: addressData("203.0.113.7") }] };

netTest("lookUpDirectly() asks past a full tunnel, by the mark", async (topology) => {
  const { client, server } = await layWire(topology);
  using dns = new DnsServer(server, [SERVER_OUTSIDE], ({ query }) => [buildAnswer(query, GOOD)]);
  // As a full tunnel has it: without the mark, nothing gets out.
  await client.output(["ip", "rule", "add", "not", "fwmark", `${MARK}`, "table", "51820"]);
  await client.output(["ip", "route", "add", "blackhole", "default", "table", "51820"]);
  const ask = (mark: number) =>
    client.inside(() =>
      lookUpDirectly(NAME, { nameServers: [{ address: SERVER }], mark, timeout: 2_000 })
    );
  assertEquals(await ask(0), []);
  assertEquals(dns.questions.length, 0);
  assertEquals(await ask(MARK), [ADDRESS]);
  assertEquals(dns.questions.map(({ name }) => name), [NAME, NAME]);
  assertEquals(dns.questions.map(({ type }) => type).sort(), [1, 28]);
}, { programs: ["ip"] });

netTest(
  "resolveAgain() asks a resolver on the link by its interface, past a full tunnel",
  async (topology) => {
    const { client, server } = await layWire(topology);
    await giveIpv6(server, CABLE, "fe80::53/64");
    await giveIpv6(client, CABLE, "fe80::9/64");
    using dns = new DnsServer(
      server,
      [`fe80::53%${CABLE}`],
      ({ query }) => [buildAnswer(query, GOOD)],
    );
    await client.output(["ip", "-6", "rule", "add", "not", "fwmark", `${MARK}`, "table", "51820"]);
    await client.output(["ip", "-6", "route", "add", "blackhole", "default", "table", "51820"]);
    const index = client.rtnetlink.links.get(CABLE).index;
    const guarded: (readonly HostAddress[])[] = [];
    const ask = (nameServers: string[]) =>
      client.inside(() =>
        resolveAgain({ host: NAME, address: null, port: 1 }, {
          ...{ last: [], nameServers, mark: MARK, timeout: 2_000, hasRoute: () => true },
          whileAsking: (resolvers, call) => {
            guarded.push(resolvers);
            return call();
          },
        })
      );
    for (const zone of [CABLE, `${index}`]) {
      // Of interfaces that are not there, and texts that are no names of any, nothing is asked.
      const others = ["fe80::53%gone0", "fe80::53", `fe80::53%${"x".repeat(300)}`, "fe80::53%"];
      assertEquals(await ask([...others, `fe80::53%${zone}`]), [ADDRESS]);
    }
    assertEquals(guarded, [["fe80::53"], ["fe80::53"]]);
    assertEquals(dns.questions.length, 4);
  },
  { programs: ["ip"] },
);

netTest("lookUpDirectly() takes no answer but that to its question", async (topology) => {
  const { client, server } = await layWire(topology);
  const evil = { answers: [{ data: addressData("198.51.100.66") }] };
  using _dns = new DnsServer(server, [SERVER_OUTSIDE], ({ query }) => [
    Uint8Array.of(1, 2, 3),
    buildAnswer(query, { ...evil, id: (query[0]! << 8 | query[1]!) ^ 1 }),
    buildAnswer(buildQuery({ name: "other.example", id: query[0]! << 8 | query[1]! }), evil),
    buildAnswer(query, { ...evil, flags: 0x0100 }),
    buildAnswer(query, GOOD),
  ]);
  const options = { nameServers: [{ address: SERVER }], mark: 0, timeout: 2_000 };
  assertEquals(await client.inside(() => lookUpDirectly(NAME, options)), [ADDRESS]);
}, { programs: ["ip"] });

netTest(
  "lookUpDirectly() asks again, and every resolver, when questions are lost",
  async (topology) => {
    const { client, server } = await layWire(topology);
    let count = 0;
    using _dns = new DnsServer(
      server,
      [SERVER_OUTSIDE],
      // Those of both families.
      ({ query }) => count++ < 2 ? [] : [buildAnswer(query, GOOD)],
    );
    const nobody = parseIpv4("192.0.2.99")!;
    const options = {
      nameServers: [{ address: nobody }, { address: SERVER }],
      mark: 0,
      timeout: 4_000,
    };
    assertEquals(
      await client.inside(() => lookUpDirectly(NAME, options)),
      [ADDRESS],
    );
    assertEquals(count, 4);
  },
  { programs: ["ip"] },
);

netTest(
  "lookUpDirectly() gives the addresses of both families, and waits for none that is not told",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const ipv6 = { answers: [{ type: 28, data: [...ipv6Bytes("2001:db8::7")] }] };
    using _dns = new DnsServer(server, [SERVER_OUTSIDE], ({ query, name, type }) => {
      if (type === 28) return [buildAnswer(query, ipv6)];
      return name === NAME ? [buildAnswer(query, GOOD)] : [];
    });
    const options = { nameServers: [{ address: SERVER }], mark: 0, timeout: 60_000 };
    const lookUp = (name: string) => client.inside(() => lookUpDirectly(name, options));
    assertEquals(await lookUp(NAME), ["2001:db8::7", ADDRESS]);
    assertEquals(await lookUp("six.example"), ["2001:db8::7"]);
  },
  { programs: ["ip"] },
);

netTest("lookUpDirectly() gives up in time when there is no address", async (topology) => {
  const { client, server } = await layWire(topology);
  using _dns = new DnsServer(
    server,
    [SERVER_OUTSIDE],
    ({ query }) => [buildAnswer(query, { flags: 0x8183 })],
  );
  const options = { nameServers: [{ address: SERVER }], mark: 0, timeout: 500 };
  assertEquals(await client.inside(() => lookUpDirectly(NAME, options)), []);
  assertEquals(await client.inside(() => lookUpDirectly("a..b", options)), []);
  assertEquals(
    await client.inside(() => lookUpDirectly(NAME, { ...options, nameServers: [] })),
    [],
  );
}, { programs: ["ip"] });
