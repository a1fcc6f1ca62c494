/** Tests how passwords are hashed. */
import { Buffer } from "node:buffer";
import { BusyError, Passwords } from "../../../../lib/console/accounts/passwords.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";

const COST = { N: 2, r: 1, p: 1 };

Deno.test("a password is known again, with a salt of its own, at the cost that it was hashed at", async () => {
  const cheap = new Passwords(COST);
  const [one, other] = [await cheap.hash("correct horse"), await cheap.hash("correct horse")];
  assert(one !== other && !one.includes("horse"));
  const dearer = new Passwords({ ...COST, N: 4 });
  assertEquals(await dearer.verify("correct horse", one), true);
  assertEquals(await dearer.verify("correct horsf", one), false);
  assertEquals(await dearer.verify("", null), false);
});

Deno.test("a password is the same however its letters are composed", async () => {
  const passwords = new Passwords(COST);
  assertEquals(
    await passwords.verify("cafe\u0301 au lait", await passwords.hash("caf\u00e9 au lait")),
    true,
  );
});

Deno.test("the cost of real ones is OWASP's: 32 MiB, three times", async () => {
  const [kind, N, r, p] = (await new Passwords().hash("correct horse")).split("$");
  assertEquals([kind, N, r, p], ["scrypt", "32768", "8", "3"]);
});

Deno.test("a few are hashed at a time, and of too many the last are refused", async () => {
  const passwords = new Passwords(COST);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 30 }, () => passwords.hash("correct horse")),
  );
  assertEquals(outcomes.filter(({ status }) => status === "fulfilled").length, 18);
  assertEquals(typeof await passwords.hash("correct horse"), "string");
  const many = Array.from({ length: 18 }, () => passwords.hash("correct horse"));
  await assertRejects(() => passwords.hash("correct horse"), BusyError);
  await Promise.all(many);
});

Deno.test("strangers, however many, do not keep waiting who is known here", async () => {
  const stored = await new Passwords(COST).hash("correct horse");
  // The keys are made in the order in which their turns come, and none before the test says so.
  const begun: (() => void)[] = [];
  let isOpen = false;
  const passwords = new Passwords(COST, () => {
    const { promise, resolve } = Promise.withResolvers<Buffer<ArrayBuffer>>();
    begun.push(() => resolve(Buffer.alloc(32)));
    if (isOpen) begun.at(-1)!();
    return promise;
  });
  const ended: string[] = [];
  const verify = (who: string, isKnown: boolean) =>
    passwords.verify("correct horse", stored, isKnown).then(() => ended.push(who));
  const strangers = Array.from({ length: 18 }, () => verify("stranger", false));
  const known = verify("known", true);
  await assertRejects(() => verify("stranger", false), BusyError);
  assertEquals(begun.length, 2, "two at once");
  begun[0]!();
  await strangers[0];
  begun[2]!();
  await known;
  assertEquals(ended, ["stranger", "known"], "his is the next turn");
  isOpen = true;
  begun.forEach((end) => end());
  await Promise.all(strangers);
});
