/** Tests of `lib/dataplane/filters/assembler.ts`: programs are run over packets. */
import { assemble, at, go, goIf } from "../../../../lib/dataplane/filters/assembler.ts";
import { JEQ, LD_B_ABS, RET, statement } from "../../../../lib/dataplane/filters/bpf.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { runBpf } from "../../../support/packets/bpf.ts";

/** Returns what `table` has for the packet's first byte, 999 for others; its places are far apart. */
function lookup(table: ReadonlyMap<number, number>): ReturnType<typeof assemble> {
  const filler = Array.from({ length: 300 }, () => statement(RET, 1));
  return assemble([
    statement(LD_B_ABS, 0),
    ...Array.from(table.keys(), (byte) => goIf(JEQ, byte, `is ${byte}`)),
    go("is none"),
    ...Array.from(
      table,
      ([byte, result]) => [...filler, at(`is ${byte}`), statement(RET, result)],
    ).flat(),
    at("is none"),
    statement(RET, 999),
  ]);
}

Deno.test("assemble() jumps to the places that are named, also further than a conditional jump reaches", () => {
  const program = lookup(new Map([[3, 30], [4, 40], [5, 50]]));
  const results = [2, 3, 4, 5, 6].map((byte) => runBpf(program, Uint8Array.of(byte)));
  assertEquals(results, [999, 30, 40, 50, 999]);
});

Deno.test("assemble() refuses a program that is longer than the kernel takes", () => {
  const longest = Array.from({ length: 4096 }, () => statement(RET, 1));
  assertEquals(assemble(longest).length, 4096);
  assertThrows(() => assemble([...longest, statement(RET, 1)]), RangeError, "4097 instructions");
});
