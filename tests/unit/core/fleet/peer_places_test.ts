/** Tests of lib/core/fleet/peer_places.ts. */
import {
  type FleetPlace,
  PLACES_AT_ONCE,
  placesMessage,
  readPlaces,
} from "../../../../lib/core/fleet/peer_places.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const place = (seed: number): FleetPlace => ({
  claim: {
    gateway: 255 - seed,
    ofPeer: new Uint8Array(12).fill(seed + 2),
    ofGateway: new Uint8Array(12).fill(seed + 3),
  },
  publicKey: new Uint8Array(32).fill(seed),
  address: 0xcb00_7107,
  port: 40_000 + seed,
  isByVirtual: seed % 2 === 0,
  timestamp: new Uint8Array(12).fill(seed + 1),
  silence: 1_000 * seed,
});

Deno.test("a message of places is read as it was written, whatever padding follows", () => {
  const places = Array.from({ length: PLACES_AT_ONCE }, (_, seed) => place(seed));
  const message = placesMessage(places);
  assert(message.length <= 1_400, "it fits a message of the mesh");
  assertEquals(readPlaces(message), places);
  assertEquals(readPlaces(new Uint8Array([...message, 0, 0, 0])), places);
  assertEquals(readPlaces(placesMessage([])), []);
});

Deno.test("what is cut off, or another message, brings no places", () => {
  const message = placesMessage([place(1), place(2)]);
  for (let length = 0; length < message.length; length++) {
    assertEquals(readPlaces(message.subarray(0, length)), null);
  }
  const other = message.slice();
  other[1] = 16;
  assertEquals(readPlaces(other), null);
  const odd = message.slice();
  odd[3]! -= 1;
  assertEquals(readPlaces(odd), null);
});
