/** Tests of `lib/core/dns/names.ts`: names in messages, and what they cost. */
import {
  type DomainName,
  isInDomain,
  MessageWriter,
  NameReader,
} from "../../../../lib/core/dns/names.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { encodeName } from "../../../support/dns/messages.ts";

/** A hundred and twenty-seven labels, the most that a name has. */
const LONG = encodeName(Array.from({ length: 127 }, () => "a").join("."));

function nameOf(bytes: readonly number[], at = 0): DomainName | null {
  return new NameReader(Uint8Array.from(bytes)).read(at)?.name ?? null;
}

function labelsOf(name: DomainName | null): string[] {
  const labels: string[] = [];
  for (let rest = name; rest !== null && rest.rest !== null; rest = rest.rest) {
    labels.push(rest.label);
  }
  return labels;
}

Deno.test("read() follows pointers that lead backwards, and no others", () => {
  const message = [
    ...encodeName("shop.example"),
    3,
    119,
    119,
    119,
    0xc0,
    0,
    0xc0,
    14,
    0xc0,
    20,
    0xc0,
    24,
  ];
  const reader = new NameReader(Uint8Array.from(message));
  const read = (at: number) => {
    const found = reader.read(at);
    return found === null ? null : [labelsOf(found.name).join("."), found.end];
  };
  assertEquals(read(0), ["shop.example", 14]);
  assertEquals(read(14), ["www.shop.example", 20]);
  assertEquals(read(20), ["www.shop.example", 22]);
  assertEquals(read(22), ["www.shop.example", 24]);
  // To itself, beyond the end, and half a pointer.
  assertEquals(read(24), null);
  assertEquals(read(26), null);
  assertEquals(nameOf([...encodeName("a"), 0xc0], 3), null);
  assertEquals(nameOf([0, 0x80], 1), null);
});

Deno.test("read() takes 255 bytes, the rest behind pointers included, and no more", () => {
  assertEquals(nameOf(LONG)!.size, 255);
  assertEquals(nameOf([...LONG, 0xc0, 0], LONG.length)!.size, 255);
  assertEquals(nameOf([...LONG, 0, 0xc0, 0], LONG.length + 1)!.count, 127);
  assertEquals(nameOf([...LONG, 1, 97, 0xc0, 0], LONG.length), null);
  assertEquals(nameOf([...LONG, 1, 97, 0xc0, 2], LONG.length)!.size, 255);
});

Deno.test("what pointers lead to is read once, so that thousands of long names take milliseconds and not seconds", () => {
  const reader = new NameReader(Uint8Array.from([...LONG, 1, 98, 0xc0, 4, 1, 99, 0xc0, 4]));
  const [one, other] = [LONG.length, LONG.length + 4].map((at) => reader.read(at)!.name);
  assertEquals([one!.label, other!.label, one!.count], ["b", "c", 126]);
  assert(one!.rest === other!.rest);
});

Deno.test("a name that pointers lead into at each of its labels is read once for all of them", () => {
  const reader = new NameReader(
    Uint8Array.from([
      ...LONG,
      ...Array.from({ length: 127 }, (_, label) => [0xc0, 2 * label]).flat(),
    ]),
  );
  const names = Array.from({ length: 127 }, (_, i) => reader.read(LONG.length + 2 * i)!.name);
  let rest = names[0]!;
  for (const name of names) {
    assert(name === rest, "it was read again");
    rest = rest.rest!;
  }
});

Deno.test("pointers that lead to pointers are followed once", () => {
  const count = 4_000;
  const chain = Array.from({ length: count }, (_, i) => {
    const target = i === 0 ? 0 : 3 + 2 * (i - 1);
    return [0xc0 | target >> 8, target & 0xff];
  });
  const bytes = Uint8Array.from([1, 97, 0, ...chain.flat()]);
  let reads = 0;
  const message = new Proxy(bytes, {
    get: (target, key) => {
      if (typeof key === "string" && /^\d+$/.test(key)) reads++;
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const reader = new NameReader(message);
  const end = bytes.length - 2;
  for (let i = 0; i < 100; i++) assertEquals(reader.read(end)!.name.label, "a");
  assert(reads < 4 * count, `${reads} bytes were looked at`);
});

Deno.test("isInDomain() compares whole labels without regard to case", () => {
  const name = nameOf(encodeName("www.Shop.example"))!;
  for (const domain of ["www.shop.example", "SHOP.EXAMPLE", "example", ""]) {
    assert(isInDomain(name, nameOf(domain === "" ? [0] : encodeName(domain))!), domain);
  }
  for (const domain of ["hop.example", "a.www.shop.example", "www.shop"]) {
    assertEquals(isInDomain(name, nameOf(encodeName(domain))!), false, domain);
  }
});

Deno.test("a message that would be too long is not whole, whatever is written", () => {
  const writer = new MessageWriter();
  const name = nameOf(LONG)!;
  for (let i = 0; i < 256; i++) writer.name(name, false);
  assert(writer.isWhole);
  assertEquals(writer.length, 65_280);
  writer.append(new Uint8Array(255));
  assert(writer.isWhole);
  writer.u16(1);
  assertEquals([writer.isWhole, writer.length], [false, 65_535]);
});
