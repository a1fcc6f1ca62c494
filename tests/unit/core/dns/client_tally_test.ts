/** Shows what is counted of each client of the DNS proxy, and that no number of clients fills the memory. */
import { ClientTally } from "../../../../lib/core/dns/client_tally.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("each client's queries are counted by what became of them", () => {
  const tally = new ClientTally();
  tally.add("ann", "queries");
  tally.add("ann", "cached");
  tally.add("bob", "refused");
  tally.add("ann", "queries");
  assertEquals(tally.find("ann"), {
    queries: 2,
    cached: 1,
    blocked: 0,
    nameErrors: 0,
    refused: 0,
  });
  assertEquals(tally.find("bob")?.refused, 1);
  assertEquals(tally.find("carl"), null);
});

Deno.test("in a full table the client that came first is forgotten", () => {
  const tally = new ClientTally(2);
  for (const client of ["ann", "bob", "ann", "carl"]) tally.add(client, "queries");
  assertEquals(["ann", "bob", "carl"].map((client) => tally.find(client)?.queries ?? null), [
    null,
    1,
    1,
  ]);
});
