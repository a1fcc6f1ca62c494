/** Tests of lib/core/nat/slices/port_slice.ts. */
import {
  isSharedPort,
  sharedPortAt,
  sharedPortCount,
} from "../../../../../lib/core/nat/shared_ports.ts";
import { sliceOf, SlicePorts } from "../../../../../lib/core/nat/slices/port_slice.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";

const RANGES = [[20_000, 29_999], [512, 65_535], [1, 6], [1, 8], [3, 25], [9, 9], [1000, 1130]];

function portsOf(slice: SlicePorts): number[] {
  return Array.from({ length: slice.size }, (_, place) => slice.portAt(place));
}

Deno.test("every port of a range is in just one slice, however many there are, and has its place there", () => {
  for (const [first, last] of RANGES) {
    for (const count of last! - first! > 20_000 ? [7] : [1, 2, 3, 8, 15]) {
      const all = Array.from({ length: count }, (_, number) => {
        const slice = new SlicePorts({ first: first!, last: last!, number, count });
        const ports = portsOf(slice);
        for (const [place, port] of ports.entries()) {
          assertEquals(slice.placeOf(port), place);
          assertEquals(sliceOf(slice, count, port), number);
          assert(slice.has(port));
        }
        assert(!slice.has(first! - 1) && !slice.has(last! + 1));
        return ports;
      });
      assertEquals(
        all.flat().sort((a, b) => a - b),
        Array.from({ length: last! - first! + 1 }, (_, i) => first! + i),
      );
    }
  }
});

Deno.test("slices have like parts of each parity, of shared ports, and of those below 1,024", () => {
  const kinds = [
    (port: number) => port % 2 === 0,
    (port: number) => port < 1024,
    (port: number) => isSharedPort({ first: 512, last: 65_535 }, port),
  ];
  for (const kind of kinds) {
    const counts = Array.from({ length: 4 }, (_, number) => {
      const slice = new SlicePorts({ first: 512, last: 65_535, number, count: 4 });
      return portsOf(slice).filter(kind).length;
    });
    assert(Math.max(...counts) - Math.min(...counts) <= 8, `${counts}`);
    assert(Math.min(...counts) > 0);
  }
});

Deno.test("the shared ports of the slices are those of the range", () => {
  for (const [first, last] of RANGES) {
    const range = { first: first!, last: last! };
    const shared = Array.from({ length: 3 }, (_, number) => {
      const slice = { ...range, number, count: 3 };
      return Array.from(
        { length: sharedPortCount(slice) },
        (_, i) => sharedPortAt(new SlicePorts(slice), i),
      );
    });
    const expected = Array.from({ length: last! - first! + 1 }, (_, i) => first! + i)
      .filter((port) => isSharedPort(range, port));
    assertEquals(shared.flat().sort((a, b) => a - b), expected);
  }
});
