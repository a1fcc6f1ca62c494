/** Shows which lines are requests to a running instance. */
import { parseRequest, RequestError } from "../../../lib/control/protocol.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

Deno.test("parseRequest() reads a request, whose parameters may be left out", () => {
  assertEquals(parseRequest('{"id":1,"method":"status"}'), { id: 1, method: "status", params: {} });
  assertEquals(parseRequest('{"id":"a","method":"x","params":{"b":[1]},"more":true}'), {
    id: "a",
    method: "x",
    params: { b: [1] },
  });
});

Deno.test("parseRequest() throws for what is none, and says why", () => {
  for (
    const [line, problem] of [
      ["", "it is not JSON"],
      ["{", "it is not JSON"],
      ["[]", "it is not an object"],
      ["null", "it is not an object"],
      ["7", "it is not an object"],
      ['{"method":"status"}', "id is neither"],
      ['{"id":{},"method":"status"}', "id is neither"],
      ['{"id":1}', "method is not a string"],
      ['{"id":1,"method":"a","params":[]}', "params is not an object"],
      ['{"id":1,"method":"a","params":null}', "params is not an object"],
    ] as const
  ) {
    assertThrows(() => parseRequest(line), RequestError, problem);
  }
});
