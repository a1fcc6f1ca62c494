/** Tests of lib/host/fleet/first_answer.ts. */
import { firstAnswer } from "../../../../lib/host/fleet/first_answer.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { PATIENCE } from "../../../support/time/patience.ts";

const silent = () => new Promise<string>(() => {});
const failing = (reason: string) => () => Promise.reject<string>(new Error(reason));
const close = () => Promise.resolve();

Deno.test("servers that are silent hold up none that answers", async () => {
  const servers = [silent, silent, () => Promise.resolve("c")];
  assertEquals(await firstAnswer(servers, { pause: 1, close }), "c");
});

Deno.test("the next server is asked at once where one refuses, and not at all where one answers", async () => {
  const asked: string[] = [];
  const servers = ["a", "b", "c"].map((name) => () => {
    asked.push(name);
    return name === "a" ? failing("refused")() : Promise.resolve(name);
  });
  assertEquals(await firstAnswer(servers, { pause: PATIENCE, close }), "b");
  assertEquals(asked, ["a", "b"]);
});

Deno.test("where no server answers, the reason of the last is told", async () => {
  const servers = [failing("first"), failing("last")];
  await assertRejects(() => firstAnswer(servers, { pause: 1, close }), Error, "last");
});

Deno.test("a server that answers after another is left again, and one that fails then does no harm", async () => {
  const [late, never] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  const closed = Promise.withResolvers<string>();
  const servers = [() => late.promise, () => never.promise, () => Promise.resolve("c")];
  const first = await firstAnswer(servers, {
    pause: 1,
    close: (connection) => {
      closed.resolve(connection);
      return Promise.resolve();
    },
  });
  assertEquals(first, "c");
  never.reject(new Error("refused"));
  late.resolve("a");
  assertEquals(await closed.promise, "a");
});
