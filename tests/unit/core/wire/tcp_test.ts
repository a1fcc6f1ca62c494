/** Tests of `lib/core/wire/tcp.ts`: the walk over the options of a header. */
import * as tcp from "../../../../lib/core/wire/tcp.ts";
import { assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

const AT = 3;

/** The options that the walk finds: kind, size and place behind the fixed header. */
function walk(options: readonly number[]): (readonly number[])[] {
  const view = new DataView(new ArrayBuffer(AT + tcp.MIN_HEADER_SIZE + options.length));
  view.setUint8(AT + tcp.DATA_OFFSET_OFFSET, (tcp.MIN_HEADER_SIZE + options.length) / 4 << 4);
  new Uint8Array(view.buffer).set(options, AT + tcp.MIN_HEADER_SIZE);
  const found: (readonly number[])[] = [];
  for (
    let at = tcp.firstOption(view, AT);
    at >= 0;
    at = tcp.nextOption(view, AT, at)
  ) {
    found.push([view.getUint8(at), view.getUint8(at + 1), at - AT - tcp.MIN_HEADER_SIZE]);
  }
  return found;
}

Deno.test("the walk over TCP options finds each that has a length, and passes over no-operations", () => {
  assertEquals(walk([]), []);
  assertEquals(walk([2, 4, 5, 180, 1, 3, 3, 7]), [[2, 4, 0], [3, 3, 5]]);
  assertEquals(walk([1, 1, 1, 1]), []);
});

Deno.test("the walk over TCP options ends at the end-of-list option", () => {
  assertEquals(walk([3, 3, 7, 0, 2, 4, 5, 180]), [[3, 3, 0]]);
});

Deno.test("the walk over TCP options takes a broken option, and all behind it, as not there", () => {
  // A size of 0 or 1 would keep the walk in one place for ever; one past the header would read the payload.
  for (const broken of [[8, 0, 1, 1], [8, 1, 1, 1], [8, 5, 1, 1], [1, 1, 1, 8]]) {
    assertEquals(walk([3, 3, 7, 1, ...broken]), [[3, 3, 0]], `${broken}`);
  }
  assertEquals(walk([8, 0, 1, 1, 2, 4, 5, 180]), []);
});

Deno.test("the walk over TCP options ends, and stays within the header, whatever the bytes are", () => {
  const random = new Random(5);
  for (let round = 0; round < 5_000; round++) {
    const options = [...random.bytes(4 * random.below(11))].map((byte) =>
      random.chance(0.7) ? byte & 7 : byte
    );
    for (const [, size, at] of walk(options)) {
      assertEquals(size! >= 2 && at! + size! <= options.length, true, `${options}`);
    }
  }
});
