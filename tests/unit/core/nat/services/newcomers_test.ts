/** Tests of `lib/core/nat/services/newcomers.ts`: who may begin connections, and how many. */
import { NatLink } from "../../../../../lib/core/nat/link.ts";
import { Newcomers } from "../../../../../lib/core/nat/services/newcomers.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";

const SYN = 2;
const RST = 4;
const OUTSIDE = 7;
const SECOND = 1_000;

function stage(ports = 400): Newcomers {
  const outside = new NatLink({ mtu: 1500, address: OUTSIDE, errorReceivers: 1 });
  return new Newcomers({ outside, ports, seed: 0x5eed });
}

/** How many of so many connections an address may begin now; of new addresses, where none is named. */
function begun(newcomers: Newcomers, count: number, now: number, remote?: number, service = 0) {
  let admitted = 0;
  for (let i = 0; i < count; i++) {
    const address = remote ?? 1_000 + Math.floor(now) * 1_000 + i;
    if (newcomers.mayBegin(service, address, SYN, now)) admitted++;
    assertEquals(newcomers.takeRefusal(), i >= admitted, "refused, and said so once");
    assertEquals(newcomers.takeRefusal(), false);
  }
  return admitted;
}

Deno.test("those that have shown nothing may take a quarter of the ports at once, and a twentieth a second", () => {
  const newcomers = stage();
  assertEquals(begun(newcomers, 500, 0), 100);
  assertEquals(begun(newcomers, 500, SECOND), 20);
  assertEquals(begun(newcomers, 500, 3 * SECOND), 40);
  assertEquals(begun(newcomers, 500, 1_000 * SECOND), 100);
  // Each service has its own; a clock that goes back brings nothing.
  assertEquals(begun(newcomers, 500, 1_000 * SECOND, undefined, 1), 100);
  assertEquals(begun(newcomers, 500, 999 * SECOND), 0);
});

Deno.test("an address that has answered may begin eight, and more as its connections go on", () => {
  const newcomers = stage();
  begun(newcomers, 500, 0);
  newcomers.noteAnswer(-5, 0);
  newcomers.noteAnswer(-5, 0);
  assertEquals(begun(newcomers, 20, 0, -5), 8);
  newcomers.noteConnection(-5, 0);
  assertEquals(begun(newcomers, 20, 0, -5), 2);
  for (let i = 0; i < 100; i++) newcomers.noteConnection(-5, 0);
  // What it was given by connections, an answer does not take.
  newcomers.noteAnswer(-5, 0);
  assertEquals(begun(newcomers, 100, 0, -5), 64);
  newcomers.noteAnswer(-6, 0);
  begun(newcomers, 500, 600 * SECOND);
  assertEquals(begun(newcomers, 20, 600 * SECOND, -6), 0);
});

Deno.test("however many answer, memory stays the same, and those that answered last are known", () => {
  const newcomers = stage();
  begun(newcomers, 500, 0);
  for (let i = 0; i < 100_000; i++) newcomers.noteAnswer(-1 - i, Math.floor(i / 10_000) * SECOND);
  begun(newcomers, 500, 10 * SECOND);
  let known = 0;
  for (let i = 99_000; i < 100_000; i++) {
    known += begun(newcomers, 1, 10 * SECOND, -1 - i) === 1 ? 1 : 0;
  }
  assert(known > 950, `${known} of 1,000`);
});

Deno.test("clients of the tunnel are asked nothing, and an RST begins nothing", () => {
  const newcomers = stage();
  begun(newcomers, 500, 0);
  assertEquals(begun(newcomers, 500, 0, OUTSIDE), 500);
  const quiet = stage();
  assertEquals(quiet.mayBegin(0, 9, RST, 0), false);
  assertEquals(quiet.takeRefusal(), true);
});
