/** Shows what the demo's resolver answers, byte by byte. */
import { answerTo } from "../../../../lib/commands/demo/resolver.ts";
import { assertEquals } from "../../../support/assert.ts";
import { type Bytes, hex } from "../../../support/packets/packet_builder.ts";

const WHO_AM_I = "06 77686f616d69 07 6578616d706c65 00";
const ASKER = 0xcb007101;

/** A query with id abcd that wants recursion. */
function query(name: string, type = "0001", flags = "0100"): Bytes {
  return hex(`abcd ${flags} 0001 0000 0000 0000 ${name} ${type} 0001`);
}

Deno.test("answerTo() gives the asker's own address, to be kept for no time", () => {
  assertEquals(
    answerTo(query(WHO_AM_I), ASKER),
    hex(`abcd 8180 0001 0001 0000 0000 ${WHO_AM_I} 0001 0001
      c00c 0001 0001 00000000 0004 cb007101`),
  );
});

Deno.test("answerTo() knows the name in capitals, too", () => {
  const answer = answerTo(query("06 57484f414d49 07 4558414d504c45 00"), ASKER)!;
  assertEquals(answer.subarray(-4), hex("cb007101"));
});

Deno.test("answerTo() has no other type of the name, and no other name", () => {
  assertEquals(
    answerTo(query(WHO_AM_I, "001c"), ASKER),
    hex(`abcd 8180 0001 0000 0000 0000 ${WHO_AM_I} 001c 0001`),
  );
  for (const name of ["07 6578616d706c65 00", `01 78 ${WHO_AM_I}`]) {
    assertEquals(
      answerTo(query(name), ASKER),
      hex(`abcd 8183 0001 0000 0000 0000 ${name} 0001 0001`),
    );
  }
});

Deno.test("answerTo() is silent to answers, other operations and what is cut off", () => {
  assertEquals(answerTo(query(WHO_AM_I, "0001", "8180"), ASKER), null);
  assertEquals(answerTo(query(WHO_AM_I, "0001", "2900"), ASKER), null);
  const whole = query(WHO_AM_I);
  for (let length = 0; length < whole.length; length++) {
    assertEquals(answerTo(whole.subarray(0, length), ASKER), null, `cut to ${length} bytes`);
  }
});
