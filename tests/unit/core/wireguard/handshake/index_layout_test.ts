/** Tests of lib/core/wireguard/handshake/index_layout.ts. */
import { IndexLayout } from "../../../../../lib/core/wireguard/handshake/index_layout.ts";
import { IndexTable } from "../../../../../lib/core/wireguard/handshake/index_table.ts";
import { MAX_EARLIER_HANDSHAKES } from "../../../../../lib/core/wireguard/constants.ts";
import { MAX_PEERS } from "../../../../../lib/core/limits/max_peers.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";

const KEY = new Random(1).bytes(32);

Deno.test("an index names its gateway to all that have the key, and its worker to anybody", () => {
  const random = new Random(2);
  for (const gateway of [0, 1, 2, 100, 254, 255]) {
    const layout = new IndexLayout(gateway, KEY);
    for (let i = 0; i < 2_000; i++) {
      const drawn = random.uint32();
      const index = layout.index(drawn);
      assert(index >= 0 && index <= 0xffff_ffff && Number.isInteger(index));
      assertEquals([layout.gatewayOf(index), index & 15], [gateway, drawn & 15]);
      assertEquals(layout.gatewayOf(index | 0), gateway);
    }
  }
});

Deno.test("an index stays the same from version to version, as gateways of two are in one fleet during an upgrade", () => {
  const layout = new IndexLayout(7, Uint8Array.from({ length: 32 }, (_, i) => i));
  assertEquals(
    [0, 1, 16, 0xffff_ffff].map((random) => layout.index(random).toString(16)),
    ["66c2ef10", "66c2ef11", "ffc7c690", "fb2f70df"],
  );
});

Deno.test("each of a gateway's numbers has an index of its own", () => {
  const layout = new IndexLayout(3, KEY);
  const indices = Array.from({ length: 30_000 }, (_, number) => layout.index(number * 35 << 4));
  assertEquals(new Set(indices).size, indices.length);
});

Deno.test("without the key, indices do not show which gateway they are of", () => {
  const layouts = [0, 1, 2, 255].map((gateway) => new IndexLayout(gateway, KEY));
  const random = new Random(3);
  for (const layout of layouts) {
    const ones = new Array(28).fill(0);
    for (let i = 0; i < 4_000; i++) {
      const index = layout.index(random.uint32());
      for (let bit = 0; bit < 28; bit++) ones[bit] += index >>> (4 + bit) & 1;
    }
    assert(ones.every((count) => count > 1_850 && count < 2_150), ones.join());
  }
  const other = new IndexLayout(0, KEY.with(0, KEY[0]! ^ 1));
  let same = 0;
  for (let i = 0; i < 4_000; i++) {
    if (other.gatewayOf(layouts[1]!.index(random.uint32())) === 1) same++;
  }
  assert(same < 50, `${same}`);
});

Deno.test("a table has an index for all that the most peers may hold, whichever gateway makes them", () => {
  const layout = new IndexLayout(200, KEY);
  const table = new IndexTable();
  const random = new Random(4);
  const draw = () => layout.index(random.uint32());
  for (let i = 0; i < (5 + MAX_EARLIER_HANDSHAKES) * MAX_PEERS; i++) {
    assertEquals(layout.gatewayOf(table.allocate(1 + i % MAX_PEERS, draw)), 200);
  }
});
