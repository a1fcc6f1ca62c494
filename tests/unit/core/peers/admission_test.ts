/** Shows who has access, and from which moment on nobody has. */
import { admissionOf, admittedPeers } from "../../../../lib/core/peers/admission.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("admissionOf() admits until the moment of expiry, and a disabled peer never", () => {
  const expires = 1_800_000_000_000;
  assertEquals(admissionOf({ isEnabled: true, expires: null }, Infinity), "admitted");
  assertEquals(admissionOf({ isEnabled: true, expires }, expires - 1), "admitted");
  assertEquals(admissionOf({ isEnabled: true, expires }, expires), "expired");
  assertEquals(admissionOf({ isEnabled: false, expires }, expires - 1), "disabled");
  assertEquals(admissionOf({ isEnabled: false, expires }, expires), "disabled");
});

Deno.test("admittedPeers() leaves out those without access", () => {
  const [one, off, gone] = [
    { isEnabled: true, expires: 2 },
    { isEnabled: false, expires: null },
    { isEnabled: true, expires: 1 },
  ];
  assertEquals(admittedPeers([one!, off!, gone!], 1), [one!]);
});
