/** Shows which known name a mistyped one is taken for. */
import { nearestName } from "../../../../../lib/core/config/text/nearest.ts";
import { assertEquals } from "../../../../support/assert.ts";

const NAMES = ["PrivateKey", "ListenPort", "Address", "MTU", "PostUp", "PostDown"];

Deno.test("nearestName() finds the name when letters are swapped, missing, added or wrong", () => {
  const expected = {
    ListenProt: "ListenPort",
    listenport: "ListenPort",
    LisenPort: "ListenPort",
    ListennPort: "ListenPort",
    Adress: "Address",
    PrivatKey: "PrivateKey",
    MUT: "MTU",
    Postup: "PostUp",
    PostDwon: "PostDown",
  };
  for (const [text, name] of Object.entries(expected)) assertEquals(nearestName(text, NAMES), name);
});

Deno.test("nearestName() returns undefined when nothing is near", () => {
  for (const text of ["Endpoint", "x", "", "Port", "Keepalive"]) {
    assertEquals(nearestName(text, NAMES), undefined, text);
  }
});

Deno.test("nearestName() prefers the nearest when several are near", () => {
  assertEquals(nearestName("aab", ["aaa", "aab"]), "aab");
  assertEquals(nearestName("PostU", ["PostDown", "PostUp"]), "PostUp");
});

Deno.test("nearestName() compares nothing with a text that is much longer, which would take hours", () => {
  const many = Array.from({ length: 5_000 }, (_, i) => `somebody's device of number ${i}`);
  assertEquals(nearestName("x".repeat(2_000_000), many), undefined);
});
