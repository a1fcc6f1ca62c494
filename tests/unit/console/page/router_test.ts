/** Tests of where the console's page is by its address. */
import { linkTo, parseRoute } from "../../../../lib/console/page/state/router.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("a link leads to where it was made for, keys with their slashes included", () => {
  const key = "a/b+c=";
  assertEquals(linkTo("peers", key), "#/peers/a%2Fb%2Bc%3D");
  assertEquals(parseRoute(linkTo("peers", key)), ["peers", key]);
  assertEquals(parseRoute(linkTo()), []);
});

Deno.test("an address that nobody made leads somewhere all the same", () => {
  assertEquals(parseRoute(""), []);
  assertEquals(parseRoute("#peers"), ["peers"]);
  assertEquals(parseRoute("#//peers//"), ["peers"]);
  assertEquals(parseRoute("#/peers/%zz"), ["peers", "%zz"]);
});
