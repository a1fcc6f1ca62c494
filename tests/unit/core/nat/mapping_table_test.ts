/**
 * Tests of the table of mappings: found from either side, made and removed, on ports of their own and on shared ones.
 */
import { MappingTable } from "../../../../lib/core/nat/mapping_table.ts";
import type { Mapping } from "../../../../lib/core/nat/records.ts";
import { isSharedPort } from "../../../../lib/core/nat/shared_ports.ts";
import { assert, assertEquals, assertStrictEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";

const PROTOCOLS = [1, 6, 17];
const RANGE = { first: 1024, last: 65_535 };

function table(ports = RANGE): MappingTable {
  const random = new Random(1);
  return new MappingTable({
    ports,
    clientOf: (address) => address >> 8,
    random: () => random.uint32(),
  });
}

function create(mappings: MappingTable, protocol: number, address: number, port: number): Mapping {
  const externalPort = mappings.allocator(protocol).allocate(port, 0);
  assert(externalPort >= 0);
  const endpoint = { innerAddress: address, innerPort: port, externalPort };
  return mappings.create(mappings.share(protocol, address), endpoint);
}

Deno.test("mappings are found from either side, whichever others are made and removed", () => {
  const mappings = table();
  const random = new Random(2);
  const all = new Map<string, Mapping>();
  // More than there are buckets, so that many share one.
  for (let round = 0; round < 60_000; round++) {
    const protocol = random.pick(PROTOCOLS);
    const address = random.pick([0x0a424d02, 0x0a424d03, -1_062_731_519]);
    const port = random.below(15_000);
    const key = `${protocol}/${address}/${port}`;
    const known = all.get(key);
    assertStrictEquals(mappings.findInner(protocol, address, port), known ?? null);
    if (known === undefined) {
      all.set(key, create(mappings, protocol, address, port));
    } else if (random.chance(0.7)) {
      mappings.remove(known, 0);
      all.delete(key);
      assertStrictEquals(mappings.findExternal(protocol, known.externalPort), null);
    }
  }
  assert(all.size > 20_000);
  assertEquals(mappings.size, all.size);
  for (const mapping of all.values()) {
    const { protocol, innerAddress, innerPort, externalPort } = mapping;
    assertStrictEquals(mappings.findInner(protocol, innerAddress, innerPort), mapping);
    assertStrictEquals(mappings.findExternal(protocol, externalPort), mapping);
    assertStrictEquals(mappings.findInbound(protocol, externalPort, 1, 2), mapping);
  }
});

Deno.test("of two mappings of one inner endpoint, the back end's is found, however many others there come to be", () => {
  const mappings = table();
  const [address, port] = [0x0a424d02, 443];
  const dynamic = create(mappings, 6, address, port);
  const service = { id: 0, protocol: 6, address: 0, port: 8443, keepsFlows: false };
  const endpoint = { innerAddress: address, innerPort: port, externalPort: 8443 };
  const backEnd = mappings.createBackEnd({ ...service, choose: () => null }, endpoint, false)!;
  for (let i = 0; i < 20_000; i++) {
    assertStrictEquals(mappings.findInner(6, address, port), backEnd);
    assertStrictEquals(mappings.findInner(6, address, port, dynamic), backEnd);
    create(mappings, 17, 0x0a424d03, 20_000 + i);
  }
  mappings.removeBackEnd(backEnd);
  for (const guess of [null, backEnd, dynamic]) {
    assertStrictEquals(mappings.findInner(6, address, port, guess), dynamic);
  }
});

Deno.test("a guess is found where it is the mapping, and else changes nothing, whatever it is", () => {
  const [mappings, others] = [table(), table()];
  const random = new Random(3);
  const guesses: Mapping[] = [];
  const all = new Map<string, Mapping>();
  for (let round = 0; round < 20_000; round++) {
    const protocol = random.pick(PROTOCOLS);
    const address = random.pick([0x0a424d02, 0x0a424d03]);
    const port = random.below(10);
    const key = `${protocol}/${address}/${port}`;
    const known = all.get(key);
    if (known !== undefined && random.chance(0.3)) {
      mappings.remove(known, 0);
      all.delete(key);
    } else if (known === undefined) {
      const made = create(mappings, protocol, address, port);
      all.set(key, made);
      guesses.push(made);
      // Of another NAT, with the same inner endpoint.
      if (others.findInner(protocol, address, port) === null) {
        guesses.push(create(others, protocol, address, port));
      }
    }
    const guess = random.pick(guesses.slice(-100));
    const found = mappings.findInner(protocol, address, port, guess);
    assertStrictEquals(found, all.get(key) ?? null);
    const { innerAddress, innerPort } = guess;
    assertStrictEquals(
      mappings.findInner(guess.protocol, innerAddress, innerPort, guess),
      all.get(`${guess.protocol}/${innerAddress}/${innerPort}`) ?? null,
    );
  }
});

Deno.test("flows on shared ports are found from either side by their remote end, whichever others come and go", () => {
  const mappings = table({ first: 2000, last: 2031 });
  const random = new Random(2);
  const byInside = new Map<string, Mapping>();
  const byOutside = new Map<string, Mapping>();
  for (let round = 0; round < 30_000; round++) {
    const protocol = random.pick(PROTOCOLS);
    const address = random.pick([0x0a424d02, 0x0a424d03, -1_062_731_519]);
    const port = random.below(50);
    const remote = random.pick([1, -1, 0x7fff_ffff]);
    const remotePort = random.below(3);
    const key = `${protocol}/${address}/${port}/${remote}/${remotePort}`;
    const known = byInside.get(key);
    const found = mappings.findOutbound(protocol, address, port, remote, remotePort);
    assertStrictEquals(found, known ?? null);
    const outsideOf = (external: number) => `${protocol}/${external}/${remote}/${remotePort}`;
    for (const external of [2006, 2007, 2030]) {
      assertStrictEquals(
        mappings.findInbound(protocol, external, remote, remotePort),
        byOutside.get(outsideOf(external)) ?? null,
      );
    }
    if (known !== undefined) {
      mappings.remove(known, 0);
      byInside.delete(key);
      byOutside.delete(outsideOf(known.externalPort));
      continue;
    }
    const share = mappings.share(protocol, address);
    const externalPort = mappings.chooseShared(share, remote, remotePort, () => {});
    const taken = [...byOutside.keys()].filter((each) =>
      each.startsWith(`${protocol}/`) && each.endsWith(`/${remote}/${remotePort}`)
    );
    assertEquals(externalPort < 0, taken.length === 8, `${taken.length} taken`);
    if (externalPort < 0) continue;
    assert(isSharedPort({ first: 2000, last: 2031 }, externalPort));
    assert(!byOutside.has(outsideOf(externalPort)), "one port and remote end for two");
    const endpoint = { innerAddress: address, innerPort: port, externalPort };
    const made = mappings.createShared(share, endpoint, remote, remotePort);
    byInside.set(key, made);
    byOutside.set(outsideOf(externalPort), made);
  }
  assertEquals(mappings.size, byInside.size);
});

Deno.test("a flow on a shared port keeps it when its inner endpoint gets a port of its own", () => {
  const mappings = table();
  const share = mappings.share(17, 0x100);
  const externalPort = mappings.chooseShared(share, 5, 53, () => {});
  const endpoint = { innerAddress: 0x100, innerPort: 7, externalPort };
  const flow = mappings.createShared(share, endpoint, 5, 53);
  const own = create(mappings, 17, 0x100, 7);
  assertStrictEquals(mappings.findOutbound(17, 0x100, 7, 5, 53), flow);
  assertStrictEquals(mappings.findOutbound(17, 0x100, 7, 6, 53), own);
});

Deno.test("no flow is put on a shared port that is forwarded", () => {
  const mappings = table({ first: 2000, last: 2007 });
  mappings.createStatic(6, { innerAddress: 1, innerPort: 80, externalPort: 2006 });
  const share = mappings.share(6, 0x100);
  for (let i = 0; i < 20; i++) {
    assertEquals(mappings.chooseShared(share, i, 80, () => {}), 2007);
  }
});

Deno.test("nothing is found for other protocols", () => {
  const mappings = table();
  create(mappings, 6, 1, 40_000);
  for (const protocol of [0, 1, 17, 47, 255]) {
    assertEquals(mappings.findInner(protocol, 1, 40_000), null);
    for (let port = 0; port < 65_536; port++) {
      assertEquals(mappings.findExternal(protocol, port), null);
    }
  }
});

Deno.test("a client is known as long as it holds anything, ports at rest included", () => {
  const mappings = table();
  const first = create(mappings, 6, 0x100, 1);
  const second = create(mappings, 17, 0x101, 1);
  assertEquals(mappings.clients.get(1)?.mappings, 2);
  assertEquals(mappings.clients.get(2), null);
  mappings.remove(first, 0);
  // Twice is once.
  mappings.remove(first, 0);
  assertEquals(mappings.clients.get(1)?.mappings, 1);
  mappings.remove(second, 0);
  mappings.sweep(119_999);
  assertEquals(mappings.share(6, 0x100).held, 1);
  mappings.sweep(120_000);
  assertEquals(mappings.clients.get(1), null);
});

Deno.test("a mapping that is removed refers to no others: its peer may still refer to it", () => {
  const random = new Random(1);
  const mappings = new MappingTable({
    ports: { first: 1024, last: 65_535 },
    clientOf: (address: number) => address >> 8,
    random: () => random.uint32(),
  });
  const share = mappings.share(17, 0x100);
  const made: Mapping[] = [];
  for (let i = 0; i < 3000; i++) {
    const externalPort = mappings.allocator(17).allocate(i + 1, 0);
    made.push(mappings.create(share, { innerAddress: 0x100, innerPort: i + 1, externalPort }));
    const shared = mappings.chooseShared(share, i, 53, () => {});
    const endpoint = { innerAddress: 0x100, innerPort: i + 1, externalPort: shared };
    made.push(mappings.createShared(share, endpoint, i, 53));
  }
  // The newest first: the others are still there.
  for (const mapping of made.reverse()) {
    mappings.remove(mapping, 0);
    assertEquals([mapping.next, mapping.nextOutside], [null, null]);
  }
});
