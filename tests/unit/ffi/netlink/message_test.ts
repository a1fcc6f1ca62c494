/** Tests of the netlink codec in `ffi/netlink/message.ts`. */
import { struct } from "../../../../ffi/layout.ts";
import { Attributes, MessageBuilder, readMessages } from "../../../../ffi/netlink/message.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { hex } from "../../../support/packets/packet_builder.ts";

Deno.test("MessageBuilder pads attributes, counts their lengths without padding and nests them", () => {
  const message = new MessageBuilder(0x1234, 0x0600)
    .struct(struct({ a: "u8", b: "u8", c: "u8", d: "u8", e: "u8" }), { a: 1, e: 2 })
    .string(3, "v0")
    .u8(4, 9)
    .nested(5, (outer) => outer.u32(6, 0x01020304).nested(7, (inner) => inner.string(8, "")))
    .bytes(9, new Uint8Array())
    .finish(0x0a0b0c0d, 0x5);
  assertEquals<Uint8Array>(
    message,
    hex([
      "44000000 3412 0506 0d0c0b0a 00000000", // struct nlmsghdr: 68 bytes
      "0100000002 000000", // the struct of 5 bytes and 3 of padding
      "0700 0300 763000 00", // "v0" with its NUL
      "0500 0400 09 000000",
      "1800 0580", // nested, with NLA_F_NESTED
      "0800 0600 04030201",
      "0c00 0780",
      "0500 0800 00 000000",
      "0400 0900",
    ].join("")),
  );
});

Deno.test("MessageBuilder grows with its attributes", () => {
  const payload = Uint8Array.from({ length: 300 }, (_, i) => i);
  const builder = new MessageBuilder(1, 0);
  for (let i = 0; i < 100; i++) builder.bytes(i, payload);
  const [message, ...rest] = readMessages(builder.finish(1, 0));
  assertEquals(rest, []);
  const attributes = new Attributes(message.body, 0);
  for (let i = 0; i < 100; i++) assertEquals(attributes.bytes(i), payload);
});

Deno.test("readMessages() splits a datagram at aligned lengths", () => {
  const messages = readMessages(hex(
    "11000000 0200 0100 05000000 07000000 aa000000" + "10000000 0300 0200 06000000 00000000",
  ));
  assertEquals(messages, [
    { type: 2, flags: 1, sequence: 5, body: Uint8Array.of(0xaa) },
    { type: 3, flags: 2, sequence: 6, body: new Uint8Array() },
  ]);
  assertEquals(readMessages(new Uint8Array()), []);
});

Deno.test("readMessages() throws when a length is too small or too large", () => {
  for (const length of ["0f000000", "15000000", "ffffffff"]) {
    const datagram = hex(`${length} 0200 0100 05000000 00000000 00000000`);
    assertThrows(() => readMessages(datagram), Error, "Cannot read a netlink message: its length");
  }
});

Deno.test("Attributes reads values by type, whatever the flag bits, the last of a type first", () => {
  const attributes = new Attributes(
    hex(
      "ffff" + "0000" + // behind a struct of 2 bytes that is padded to 4
        "0800 0100 01000080" + "0500 0200 07 000000" + "0700 0380 610062 00" +
        "0800 0440 04030201" + "0800 0100 02000000" + "0600 0500 6162 0000",
    ),
    2,
  );
  assertEquals(attributes.u32(1), 2);
  assertEquals(attributes.bytes(2), Uint8Array.of(7));
  assertEquals(attributes.string(3), "a");
  assertEquals(attributes.u32(4), 0x01020304);
  assertEquals(attributes.string(5), "ab");
  assertEquals([attributes.u32(6), attributes.bytes(6), attributes.string(6)], [null, null, null]);
  assertEquals(attributes.nested(6), null);
});

Deno.test("Attributes reads u32 as unsigned and refuses other lengths", () => {
  const attributes = new Attributes(hex("0800 0100 ffffffff 0600 0200 ffff 0000"), 0);
  assertEquals(attributes.u32(1), 4294967295);
  assertThrows(() => attributes.u32(2), Error, "Cannot read netlink attribute 2: 2 bytes");
});

Deno.test("Attributes throws when a length is too small or too large", () => {
  for (const length of ["0000", "0300", "0900", "ffff"]) {
    const bytes = hex(`${length} 0100 00000000`);
    assertThrows(
      () => new Attributes(bytes, 0),
      Error,
      "Cannot read a netlink attribute: its length",
    );
  }
});
