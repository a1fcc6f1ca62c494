/**
 * Tests that packets leave nothing on the heap, on each way through the core and through sockets.
 *
 * It matters because what packets leave must be collected, in pauses that come the sooner the faster the tunnel is.
 */
import { assert, assertEquals } from "../support/assert.ts";
import { heapGrowth } from "../support/heap_growth.ts";
import { START } from "../support/offload/memory_network.ts";
import { packetPaths, type Path } from "../support/offload/packet_paths.ts";
import { hostTest } from "../support/permissions.ts";

/** Packets that are measured on each way, after as many that are not. */
const PACKETS = 80_000;
/** Packets on each way before anything is measured. */
const WARM_UP = 40_000;
/**
 * Bytes per packet that count as none. The smallest thing on the heap, a boxed number, has 16; what is below this is
 * what a turn of the loop, with its tens of packets, leaves once: the time.
 */
const TOLERANCE = 2;
/** Bytes of an array of one number, at least. */
const CONTROL = 32;

hostTest("packets leave nothing on the heap", async (test) => {
  using resources = new DisposableStack();
  const paths = packetPaths(resources);
  let turns = 0;
  const takeTurn = (path: Path) => path.turn(START + turns++ / 1000);
  // The engine optimises for what it has seen: all ways have been taken before the first is measured.
  for (const path of Object.values(paths)) {
    for (let left = WARM_UP; left > 0; left -= path.packets) takeTurn(path);
  }
  for (const [name, path] of Object.entries(paths)) {
    await test.step(name, () => {
      const [turnsBefore, before] = [turns, path.delivered()];
      const calls = Math.ceil(PACKETS / path.packets);
      const tolerated = TOLERANCE * calls * path.packets;
      const grown = heapGrowth(calls, () => takeTurn(path), tolerated);
      // A packet that was lost on the way proves nothing.
      assertEquals(path.delivered() - before, (turns - turnsBefore) * path.packets);
      assert(grown < tolerated, `${grown / (calls * path.packets)} bytes per packet`);
    });
  }
});

Deno.test("an object for each packet is seen", () => {
  const kept: unknown[] = [null];
  let count = 0;
  const grown = heapGrowth(PACKETS, () => {
    kept[0] = [count++];
  });
  assert(grown / PACKETS >= CONTROL, `${grown / PACKETS} bytes per packet`);
});
