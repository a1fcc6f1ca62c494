/** Tests of lib/core/access/flow_table.ts: flows by key, shared fairly, and read by another thread. */
import { FlowTable, flowTableSize } from "../../../../lib/core/access/flow_table.ts";
import { KEY_WORDS } from "../../../../lib/core/access/packet_facts.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import fc from "../../../support/property.ts";
import { Random } from "../../../support/random.ts";

const CAPACITY = 64;

function table(memory?: SharedArrayBuffer): FlowTable {
  return new FlowTable({ capacity: CAPACITY, owners: 10, seed: 5, ...(memory && { memory }) });
}

/** A key of its own for each number: of IPv4, or where it is odd of IPv6. */
function key(number: number): Int32Array {
  const words = new Int32Array(KEY_WORDS);
  words[2] = words[6] = number % 2 === 0 ? 0xffff : number;
  words[3] = words[7] = 0x0a000001;
  words[8] = number >> 2;
  words[9] = number & 3;
  return words;
}

Deno.test("a flow is found by its key as long as it is there", () => {
  const flows = table();
  const [one, other] = [flows.add(key(1), 3), flows.add(key(2), 3)];
  flows.setState(one, 17);
  assertEquals([flows.find(key(1)), flows.find(key(2)), flows.find(key(3))], [one, other, 0]);
  assertEquals([flows.state(one), flows.state(other), flows.countOf(3)], [17, 0, 2]);
  flows.remove(one);
  assertEquals([flows.find(key(1)), flows.find(key(2)), flows.countOf(3)], [0, other, 1]);
});

Deno.test("in a full table the owner with the most flows loses its oldest, and nobody else one", () => {
  const flows = table();
  for (let i = 0; i < CAPACITY - 10; i++) flows.add(key(i), 1);
  for (let i = 0; i < 10; i++) flows.add(key(1000 + i), 2);
  flows.use(flows.find(key(0)), 1);
  // A third begins: the first, with the most, makes room, of what it has not used for longest.
  flows.add(key(2000), 3);
  assertEquals([1, 2, 3].map((owner) => flows.countOf(owner)), [CAPACITY - 11, 10, 1]);
  assertEquals([flows.find(key(1)), flows.find(key(0)) !== 0], [0, true]);
  // One that begins without end takes what the largest has above its own part, and then its own.
  for (let i = 0; i < 1000; i++) flows.add(key(3000 + i), 3);
  assertEquals([1, 2].map((owner) => flows.countOf(owner)), [27, 10]);
  assertEquals(flows.countOf(3), 27);
  assert(flows.find(key(3999)) !== 0);
});

Deno.test("a table is what a list that is searched from end to end is", () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const random = new Random(seed);
      const flows = table();
      let list: { key: number; owner: number; state: number }[] = [];
      for (let step = 0; step < 600; step++) {
        const number = random.below(120);
        const flow = flows.find(key(number));
        const known = list.find((each) => each.key === number);
        assertEquals(flow === 0 ? null : flows.state(flow), known?.state ?? null);
        if (known === undefined) {
          const owner = random.below(4);
          const count = (of: number) => list.filter((each) => each.owner === of).length;
          const most = Math.max(...[0, 1, 2, 3].map(count));
          const added = flows.add(key(number), owner);
          flows.setState(added, step);
          if (list.length === CAPACITY) {
            // Of several with the most, which one is the table's choice.
            const gone = list.filter((each) => flows.find(key(each.key)) === 0);
            assertEquals(gone.length, 1);
            const loser = gone[0]!.owner;
            assertEquals(count(loser), most);
            assert(count(owner) < most || loser === owner);
            assertEquals(list.find((each) => each.owner === loser), gone[0]);
            list = list.filter((each) => each !== gone[0]);
          }
          list.push({ key: number, owner, state: step });
        } else if (random.chance(0.3)) {
          flows.remove(flow);
          list = list.filter((each) => each !== known);
        } else {
          flows.use(flow, step);
          list = [...list.filter((each) => each !== known), known];
        }
      }
    }),
    { numRuns: 30 },
  );
});

Deno.test("another thread finds the state of a flow that has not ended", () => {
  const memory = new SharedArrayBuffer(flowTableSize(CAPACITY));
  const [writer, reader] = [table(memory), table(memory)];
  for (let i = 0; i < 40; i++) {
    const flow = writer.add(key(i), 1);
    writer.use(flow, 100);
    writer.setState(flow, i + 1);
  }
  assertEquals(Array.from({ length: 41 }, (_, i) => reader.look(key(i), 99)), [
    ...Array.from({ length: 40 }, (_, i) => i + 1),
    0,
  ]);
  assertEquals(reader.look(key(7), 100), 0);
  writer.remove(writer.find(key(7)));
  assertEquals(reader.look(key(7), 99), 0);
});

Deno.test("another thread finds nothing while the table is being changed, and does not wait", () => {
  const memory = new SharedArrayBuffer(flowTableSize(CAPACITY));
  const [writer, reader] = [table(memory), table(memory)];
  const flow = writer.add(key(1), 1);
  writer.use(flow, 100);
  writer.setState(flow, 5);
  const words = new Int32Array(memory);
  words[0]! += 1;
  assertEquals(reader.look(key(1), 0), 0);
  words[0]! += 1;
  assertEquals(reader.look(key(1), 0), 5);
});
