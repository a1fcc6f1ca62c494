/** The gateway's DNS proxy as its clients see it, in front of resolvers that the tests script. */
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { Arena } from "../../../ffi/arena.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { buildUdp } from "../../support/packets/packet_builder.ts";
import {
  addressData,
  ANSWER_FLAGS,
  buildAnswer,
  buildQuery,
  type RecordFields,
  TRUNCATED,
  TYPE_TXT,
} from "../../support/dns/messages.ts";
import { type DnsHandler, type DnsQuestion, DnsServer } from "../support/programs/dns_server.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
  OTHER_INTERNET,
} from "../support/gateway.ts";
import { hostState } from "../support/host_state.ts";
import { runVpn } from "../support/programs/vpn.ts";
import { addressOf, Injector, u16 } from "../support/outside.ts";
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { Section } from "../support/config.ts";
import { ARENA_SIZE, occupyPort, openSocket } from "../support/traffic/sockets.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, "dig"];
const ADDRESS = "198.51.100.77";
const SERVER_FAILURE = 2;
const BOTH = `${INTERNET}, ${OTHER_INTERNET}`;
/** Strings of 250 bytes: more than a UDP answer holds. */
const LONG = Array.from({ length: 16 }, (_, i): RecordFields => ({
  type: TYPE_TXT,
  data: [250, ...new Array<number>(250).fill(97 + i)],
}));

const ADDRESS_RECORD: RecordFields = { data: addressData(ADDRESS), timeToLive: 300 };

const answerAddress = ({ query }: DnsQuestion): Uint8Array[] => [
  buildAnswer(query, { answers: [ADDRESS_RECORD] }),
];

interface Setting extends AsyncDisposable {
  readonly network: GatewayNetwork;
  readonly upstream: DnsServer;
  /** Asks the proxy from the client, once; gives what `dig` prints. */
  dig(...args: readonly string[]): Promise<string>;
}

async function setUp(
  topology: Topology,
  handler: DnsHandler = answerAddress,
  { upstreams = INTERNET, serves = [INTERNET], section = {} }: {
    readonly upstreams?: string;
    readonly serves?: readonly string[];
    readonly section?: Section;
  } = {},
): Promise<Setting> {
  const network = await GatewayNetwork.lay(topology);
  const upstream = new DnsServer(network.internet, serves, handler);
  await network.startBoth({ DnsProxy: upstreams, ...section });
  const client = network.client.namespace;
  return {
    network,
    upstream,
    dig: (...args) => client.output(["dig", `@${INSIDE}`, "+tries=1", "+time=8", ...args]),
    [Symbol.asyncDispose]() {
      upstream[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

netTest("the DNS proxy answers by UDP and TCP, from its cache the second time", async (net) => {
  await using setting = await setUp(net);
  const { dig, upstream } = setting;
  assertEquals(await dig("+short", "www.example"), `${ADDRESS}\n`);
  assertEquals(await dig("+short", "+tcp", "www.example"), `${ADDRESS}\n`);
  assertEquals(await dig("+short", "WWW.Example"), `${ADDRESS}\n`);
  assertEquals(upstream.count("www.example"), 1);
  assertEquals(upstream.questions[0]!.from, EXTERNAL);
  assertEquals(await dig("+short", "+tcp", "other.example"), `${ADDRESS}\n`);
  assertEquals(upstream.questions.length, 2);
}, { programs: PROGRAMS });

netTest("the DNS proxy counts times to live down, and asks again when one is over", async (net) => {
  await using setting = await setUp(net, ({ query }) => [
    buildAnswer(query, { answers: [{ data: addressData(ADDRESS), timeToLive: 3 }] }),
  ]);
  const { dig, upstream } = setting;
  const timeToLive = async () => {
    const line = await dig("+noall", "+answer", "brief.example");
    return Number(/^brief\.example\.\s+(\d+)\s/.exec(line)?.[1]);
  };
  // From the cache, unless the machine is so busy that the answer is a new one.
  await eventually(async () => {
    const asked = upstream.questions.length;
    const left = await timeToLive();
    assert(left <= 3, `${left} s`);
    return asked > 0 && upstream.questions.length === asked && left < 3;
  });
  const asked = upstream.questions.length;
  await eventually(async () => {
    await timeToLive();
    return upstream.questions.length > asked;
  });
}, { programs: PROGRAMS });

netTest("the DNS proxy asks the second resolver when the first is dead", async (topology) => {
  await using setting = await setUp(topology, answerAddress, {
    upstreams: BOTH,
    serves: [OTHER_INTERNET],
  });
  assertEquals(await setting.dig("+short", "www.example"), `${ADDRESS}\n`);
  assertEquals(setting.upstream.questions.map(({ to }) => to), [OTHER_INTERNET]);
}, { programs: PROGRAMS });

netTest("the DNS proxy asks the second resolver when the first one fails", async (topology) => {
  await using setting = await setUp(
    topology,
    (question) =>
      question.to === INTERNET
        ? [buildAnswer(question.query, { flags: ANSWER_FLAGS | SERVER_FAILURE })]
        : answerAddress(question),
    { upstreams: BOTH, serves: [INTERNET, OTHER_INTERNET] },
  );
  assertEquals(await setting.dig("+short", "www.example"), `${ADDRESS}\n`);
  assertEquals(setting.upstream.questions.map(({ to }) => to), [INTERNET, OTHER_INTERNET]);
}, { programs: PROGRAMS });

netTest("the DNS proxy says SERVFAIL when no resolver answers", async (topology) => {
  await using setting = await setUp(topology, () => [], {
    upstreams: BOTH,
    serves: [INTERNET, OTHER_INTERNET],
  });
  assertMatch(await setting.dig("www.example"), /status: SERVFAIL/);
  // Each is asked twice, as the first datagram may have been lost.
  const asked = new Set(setting.upstream.questions.map(({ to }) => to));
  assertEquals([...asked], [INTERNET, OTHER_INTERNET]);
}, { programs: PROGRAMS });

netTest("the DNS proxy brings an answer too long for UDP by TCP", async (topology) => {
  await using setting = await setUp(topology, ({ query, transport }) => [
    transport === "udp"
      ? buildAnswer(query, { flags: ANSWER_FLAGS | TRUNCATED })
      : buildAnswer(query, { answers: LONG }),
  ]);
  const { dig, upstream } = setting;
  const question = ["+noedns", "long.example", "TXT"];
  assertMatch(await dig("+ignore", ...question), /flags: qr tc [^;]*; QUERY: 1, ANSWER: 0/);
  // By UDP first, then by TCP, as `dig` does when an answer is cut short.
  const whole = await dig(...question);
  assertMatch(whole, /ANSWER: 16/);
  assertMatch(whole, /SERVER: \S+\(10\.66\.77\.1\) \(TCP\)/);
  assertEquals([upstream.count("long.example", "udp"), upstream.count("long.example", "tcp")], [
    1,
    1,
  ]);
  // An asker with more room gets all of it by UDP.
  assertMatch(await dig("+bufsize=8192", "+notcp", "+ignore", ...question.slice(1)), /ANSWER: 16/);
}, { programs: PROGRAMS });

netTest(
  "the DNS proxy takes no answer to another question, with another id or in another spelling; TCP decides, and all are counted",
  async (topology) => {
    const forged = [{ data: addressData("203.0.113.66") }];
    await using setting = await setUp(topology, ({ name, query, transport }) => {
      const answer = buildAnswer(query, { answers: [ADDRESS_RECORD] });
      if (transport === "tcp") return [answer];
      const id = query[0]! << 8 | query[1]!;
      const otherName = query.slice();
      otherName[13]! ^= 1;
      const otherSpelling = query.slice();
      otherSpelling[13]! ^= 0x20;
      const wrong = [
        buildAnswer(query, { id: id ^ 1, answers: forged }),
        buildAnswer(otherName, { answers: forged }),
        Uint8Array.of(1, 2, 3),
        buildAnswer(query, { answers: forged }),
      ];
      switch (name.toLowerCase()) {
        case "few.example":
          return [...wrong.slice(0, 2), answer];
        case "many.example":
          return wrong;
        default:
          return [buildAnswer(otherSpelling, { answers: forged })];
      }
    }, { section: { Metrics: `${INSIDE}:9586` } });
    const { network, upstream, dig } = setting;
    for (const name of ["few", "many", "spelt"]) {
      assertEquals(await dig("+short", `${name}.example`), `${ADDRESS}\n`);
    }
    const asked = upstream.questions.map(({ name, transport }) =>
      `${name.toLowerCase()} ${transport}`
    );
    assertEquals(asked, [
      ...["few.example udp", "many.example udp", "many.example tcp"],
      ...["spelt.example udp", "spelt.example tcp"],
    ]);
    const metrics = await network.client.namespace.output([
      "curl",
      "-s",
      `http://${INSIDE}:9586/metrics`,
    ]);
    assertMatch(metrics, /^vpn_dns_wrong_answers_total 6$/m);
  },
  { programs: [...PROGRAMS, "curl"] },
);

netTest(
  "a client that fills the DNS proxy by UDP and TCP takes its own places: another is answered, by both",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    using _upstream = new DnsServer(
      network.internet,
      [INTERNET],
      (question) => question.name.toLowerCase().startsWith("void") ? [] : answerAddress(question),
    );
    await network.startBoth({ DnsProxy: INTERNET });
    const [hostile, honest] = network.clients;
    // It opens more connections than there are places, silent ones and such as stop in the middle of a query.
    const connections = await Promise.all(Array.from({ length: 300 }, async (_, i) => {
      const connection = await hostile!.namespace.inside(() =>
        Deno.connect({ hostname: INSIDE, port: 53 })
      );
      if (i % 2 === 0) await connection.write(Uint8Array.of(1));
      return connection;
    }));
    const arena = new Arena(ARENA_SIZE);
    using socket = openSocket(hostile!.namespace, arena);
    const flood = () => {
      for (let i = 0; i < 600; i++) {
        sendTo(socket, arena, buildQuery({ id: i, name: `void${i}.example` }));
      }
    };
    flood();
    for (const [index, args] of [["+notcp"], ["+tcp"], ["+notcp"], ["+tcp"]].entries()) {
      const command = [
        "dig",
        `@${INSIDE}`,
        "+tries=1",
        "+time=8",
        "+short",
        ...args,
        `good${index}.example`,
      ];
      assertEquals(await honest!.namespace.output(command), `${ADDRESS}\n`);
      flood();
    }
    for (const connection of connections) connection.close();
  },
  { programs: PROGRAMS },
);

netTest("the DNS proxy answers many questions at a time", async (topology) => {
  const count = 200;
  const complete = Promise.withResolvers<void>();
  let came = 0;
  await using setting = await setUp(topology, async (question) => {
    // None is answered before the last has come.
    if (++came === count) complete.resolve();
    await complete.promise;
    return answerAddress(question);
  });
  const { network } = setting;
  const arena = new Arena(ARENA_SIZE);
  using socket = openSocket(network.client.namespace, arena);
  const queries = Array.from(
    { length: count },
    (_, id) => buildQuery({ name: `host-${id}.example`, id }),
  );
  const offsets = queries.map((query) => {
    const offset = arena.allocate(query.length);
    arena.bytes.set(query, offset);
    return offset;
  });
  const batch = {
    offsets: Int32Array.from(offsets),
    lengths: Int32Array.from(queries, ({ length }) => length),
    ...pathsTo(new Array(count).fill({ address: addressOf(INSIDE), port: 53 })),
  };
  assertEquals(socket.send(batch, 0, count), count);
  const answered = new Set<number>();
  await eventually(() => {
    const got = socket.receive();
    for (let i = 0; i < got; i++) {
      const offset = socket.receivedOffsets[i]!;
      const answer = arena.bytes.slice(offset, offset + socket.receivedLengths[i]!);
      const id = u16(answer, 0);
      assertEquals(answer, buildAnswer(queries[id]!, { answers: [ADDRESS_RECORD] }));
      answered.add(id);
    }
    return answered.size === count ? true : null;
  });
}, { programs: PROGRAMS });

netTest("a DNS query from port 0 is not answered, and ends nothing", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { client, internet } = network;
  using _upstream = new DnsServer(internet, [INTERNET], answerAddress);
  const server = await network.startBoth({ DnsProxy: INTERNET });
  using injector = new Injector(client.namespace, { device: "vpn0" });
  // A known name is answered at once, an unknown one after the resolver has been asked.
  for (const name of ["www.example", "other.example", "www.example"]) {
    injector.send(buildUdp({
      source: client.inside,
      destination: INSIDE,
      sourcePort: 0,
      destinationPort: 53,
      payload: buildQuery({ name }),
    }));
    const answer = await client.namespace.output(["dig", `@${INSIDE}`, "+short", name]);
    assertEquals(answer, `${ADDRESS}\n`);
  }
  assertEquals((await server.stop()).code, 0, server.stderr);
}, { programs: PROGRAMS });

netTest("the DNS proxy is on the inner address alone, and frees the port", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway, internet } = network;
  using _upstream = new DnsServer(internet, [INTERNET], answerAddress);
  const server = await network.start({ DnsProxy: INTERNET });
  const outside = await internet.run(["dig", `@${EXTERNAL}`, "+tries=1", "+time=1", "a.example"]);
  assert(outside.code !== 0, outside.stdout);
  assertEquals((await server.stop()).code, 0);
  occupyPort(gateway, 53)[Symbol.dispose]();
  gateway.inside(() => Deno.listen({ port: 53 })).close();
}, { programs: PROGRAMS });

netTest("a gateway refuses to start when another service has the DNS port", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  using _taken = occupyPort(network.gateway, 53);
  const config = network.config({ DnsProxy: INTERNET });
  const { code, stderr } = await runVpn("server", network.gateway, config);
  assertEquals(code, 2, stderr);
  assertMatch(stderr, /^vpn: Cannot answer DNS on 10\.66\.77\.1: port 53 is in use: [^\n]+\n$/m);
}, { programs: PROGRAMS });

netTest(
  "a gateway refuses a resolver of its host that asks the DNS proxy in its turn",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    // In the place of a forwarder that was told of the gateway.
    await network.gateway.output(["nft", "-f", "-"], {
      stdin: `table ip forwarder { chain out { type nat hook output priority -100;
      ip daddr ${EXTERNAL} udp dport 53 dnat to ${INSIDE}; }; }`,
    });
    const config = network.config({ DnsProxy: `${INTERNET}, ${EXTERNAL}` });
    const before = await hostState(network.gateway);
    const { code, stderr } = await runVpn("server", network.gateway, config);
    assertEquals(code, 2, stderr);
    assertMatch(
      stderr,
      /^vpn: Cannot use DnsProxy = \S+: this resolver [^\n]+ to the proxy [^\n]+\n$/m,
    );
    assertEquals(await hostState(network.gateway), before);
  },
  { programs: [...PROGRAMS, "nft"] },
);

/** Sends one query to the proxy, by a space at the arena's end. */
function sendTo(socket: UdpSocket, arena: Arena, query: Uint8Array): void {
  const offset = arena.bytes.length - 512;
  arena.bytes.set(query, offset);
  socket.send(
    {
      offsets: Int32Array.of(offset),
      lengths: Int32Array.of(query.length),
      ...pathsTo([{ address: addressOf(INSIDE), port: 53 }]),
    },
    0,
    1,
  );
}
