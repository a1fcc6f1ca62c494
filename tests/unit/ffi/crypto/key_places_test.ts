/** Tests of where the bytes of transport keys are. */
import { pointerHalves } from "../../../../ffi/crypto/address.ts";
import { bytesAt, KeyPlaces } from "../../../../ffi/crypto/key_places.ts";
import { assertEquals, assertStrictEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";
import { Random } from "../../../support/random.ts";

hostTest({
  name: "KeyPlaces: a key is wiped when it is released, and its place used again",
  fn() {
    const places = new KeyPlaces();
    const key = new Random(4).bytes(32);
    const all = Array.from({ length: 300 }, () => places.take(key));
    assertEquals(new Set(all.map(({ low, high }) => `${high} ${low}`)).size, 300);
    for (const place of all) {
      const bytes = bytesAt(place);
      const { low, high } = pointerHalves(Deno.UnsafePointer.of(bytes));
      assertEquals([place.low, place.high], [low, high]);
      assertEquals(bytes, key);
    }
    places.release(all[7]);
    assertEquals(bytesAt(all[7]), new Uint8Array(32));
    assertStrictEquals(places.take(key), all[7]);
  },
});
