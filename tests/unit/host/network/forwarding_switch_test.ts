/** Tests of `lib/host/network/forwarding_switch.ts`: what stays open of a host that forwarded nothing. */
import { openLinks, type OwnForwarding } from "../../../../lib/host/network/forwarding_switch.ts";
import { assertEquals } from "../../../support/assert.ts";

const OFF = { value: "0", forwards: false };
const BEFORE: readonly OwnForwarding[] = [
  { name: "default", index: 0, ...OFF },
  { name: "eth0", index: 2, ...OFF },
  { name: "lan1", index: 3, value: "1", forwards: true },
  // As of IPv6, where this alone makes nobody forward.
  { name: "lan2", index: 4, value: "1", forwards: false },
  { name: "virbr0", index: 5, ...OFF },
  { name: "docker0", index: 6, value: "1", forwards: false },
];

function open(links: Readonly<Record<string, number>>, guests: readonly string[]): string[] {
  const given = Object.entries(links).map(([name, index]) => ({ name, index }));
  return openLinks({ before: BEFORE, links: given, guests });
}

Deno.test("of a host that forwarded nothing, interfaces that forwarded by themselves still do", () => {
  assertEquals(open({ eth0: 2, lan1: 3, lan2: 4 }, []), ["lan1"]);
});

Deno.test("what came later is open where it is a bridge of guests, and where its name was another's", () => {
  assertEquals(open({ eth0: 2, virbr0: 5, eth7: 7, br8: 8 }, ["virbr0", "br8"]), ["br8"]);
  assertEquals(open({ virbr0: 9, lan1: 10 }, ["virbr0"]), ["virbr0"]);
});

Deno.test("a bridge of guests that kept its forwarding since a former run is open", () => {
  assertEquals(open({ docker0: 6 }, ["docker0"]), ["docker0"]);
  assertEquals(open({ docker0: 6 }, []), []);
});
