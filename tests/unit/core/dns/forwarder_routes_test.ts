/** Shows who is asked for names in domains that some resolvers alone know. */
import { parse, responseCode } from "../../../../lib/core/dns/message.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildQuery } from "../../../support/dns/messages.ts";
import {
  failing,
  FIRST,
  inTheOpen,
  right,
  SERVER_FAILURE,
  Stage,
} from "../../../support/dns/forwarder_stage.ts";

const CORP = 10;
const OTHER_CORP = 11;
const LAB = 12;
const ROUTES = [
  { domain: "corp.example", upstreams: [CORP, OTHER_CORP].map(inTheOpen) },
  { domain: "lab.corp.example", upstreams: [inTheOpen(LAB)] },
];

Deno.test("names in a domain are asked of its resolvers, and the longest domain counts", async () => {
  const stage = new Stage(right, [FIRST], ROUTES);
  for (
    const [name, upstream] of [
      ["corp.example", CORP],
      ["www.CORP.example", CORP],
      ["lab.corp.example", LAB],
      ["a.b.lab.corp.example", LAB],
      ["xcorp.example", FIRST],
      ["example", FIRST],
      ["corp.example.org", FIRST],
    ] as const
  ) {
    await stage.ask(buildQuery({ name }));
    assertEquals(stage.exchanges.at(-1)!.upstream, upstream, name);
  }
});

Deno.test("a domain's next resolver is asked where one fails or is silent, and nobody else learns the name", async () => {
  const stage = new Stage(
    (asked) => asked.upstream === CORP ? [failing(asked.query)] : right(asked),
    [FIRST],
    ROUTES,
  );
  const answer = await stage.ask(buildQuery({ name: "www.corp.example" }));
  assertEquals(responseCode(parse(answer!)!.flags), 0);
  assertEquals(stage.exchanges.map(({ upstream }) => upstream), [CORP, OTHER_CORP]);

  const silent = new Stage(() => [], [FIRST], ROUTES);
  const none = await silent.ask(buildQuery({ name: "www.corp.example" }));
  assertEquals(responseCode(parse(none!)!.flags), SERVER_FAILURE);
  assertEquals(silent.exchanges.some(({ upstream }) => upstream === FIRST), false);
});

Deno.test("a dead resolver of a domain is none of the others', nor the other way round", async () => {
  const stage = new Stage((asked) => asked.upstream === CORP ? [] : right(asked), [FIRST], ROUTES);
  for (const name of ["a.corp.example", "b.corp.example"]) await stage.ask(buildQuery({ name }));
  assertEquals(stage.exchanges.map(({ upstream }) => upstream), [CORP, OTHER_CORP, OTHER_CORP]);
  await stage.ask(buildQuery({ name: "www.example" }));
  assertEquals(stage.exchanges.at(-1)!.upstream, FIRST);
});

Deno.test("setRoutes() asks the new ones at once, and forgets what others have said", async () => {
  const stage = new Stage(right, [FIRST], ROUTES);
  const query = buildQuery({ name: "www.corp.example" });
  await stage.ask(query);
  await stage.ask(query);
  stage.forwarder.setRoutes([]);
  await stage.ask(query);
  assertEquals(stage.exchanges.map(({ upstream }) => upstream), [CORP, FIRST]);
});

Deno.test("setRoutes() keeps nothing that was asked of others before, and comes after", async () => {
  const gate = Promise.withResolvers<void>();
  const stage = new Stage(
    async (asked) => {
      if (asked.upstream === CORP) await gate.promise;
      return right(asked);
    },
    [FIRST],
    ROUTES,
  );
  const query = buildQuery({ name: "www.corp.example" });
  const first = stage.ask(query);
  stage.forwarder.setRoutes([]);
  gate.resolve();
  await first;
  await stage.ask(query);
  assertEquals(stage.exchanges.map(({ upstream }) => upstream), [CORP, FIRST]);
});
