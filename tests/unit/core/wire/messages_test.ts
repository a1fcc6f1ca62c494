/** Tests of lib/core/wire/messages.ts: the sizes that the protocol's page states, and the padding rule. */
import * as messages from "../../../../lib/core/wire/messages.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hex } from "../../../support/packets/packet_builder.ts";

Deno.test("the fields of each message follow one another up to its size", () => {
  const { KEY_SIZE, MAC_SIZE, TAG_SIZE, TIMESTAMP_SIZE, COOKIE_NONCE_SIZE } = messages;
  assertEquals(messages.INITIATION_EPHEMERAL_OFFSET, messages.INITIATION_SENDER_OFFSET + 4);
  assertEquals(messages.INITIATION_STATIC_OFFSET, 8 + KEY_SIZE);
  assertEquals(messages.INITIATION_TIMESTAMP_OFFSET, 40 + KEY_SIZE + TAG_SIZE);
  assertEquals(messages.INITIATION_MAC1_OFFSET, 88 + TIMESTAMP_SIZE + TAG_SIZE);
  assertEquals(messages.INITIATION_MAC2_OFFSET, 116 + MAC_SIZE);
  assertEquals(messages.INITIATION_SIZE, 132 + MAC_SIZE);
  assertEquals(messages.INITIATION_SIZE, 148);

  assertEquals(messages.RESPONSE_RECEIVER_OFFSET, messages.RESPONSE_SENDER_OFFSET + 4);
  assertEquals(messages.RESPONSE_EPHEMERAL_OFFSET, 8 + 4);
  assertEquals(messages.RESPONSE_EMPTY_OFFSET, 12 + KEY_SIZE);
  assertEquals(messages.RESPONSE_MAC1_OFFSET, 44 + TAG_SIZE);
  assertEquals(messages.RESPONSE_MAC2_OFFSET, 60 + MAC_SIZE);
  assertEquals(messages.RESPONSE_SIZE, 76 + MAC_SIZE);
  assertEquals(messages.RESPONSE_SIZE, 92);

  assertEquals(messages.COOKIE_REPLY_NONCE_OFFSET, messages.COOKIE_REPLY_RECEIVER_OFFSET + 4);
  assertEquals(messages.COOKIE_REPLY_COOKIE_OFFSET, 8 + COOKIE_NONCE_SIZE);
  assertEquals(messages.COOKIE_REPLY_SIZE, 32 + MAC_SIZE + TAG_SIZE);
  assertEquals(messages.COOKIE_REPLY_SIZE, 64);

  assertEquals(messages.TRANSPORT_COUNTER_OFFSET, messages.TRANSPORT_RECEIVER_OFFSET + 4);
  assertEquals(messages.TRANSPORT_PACKET_OFFSET, 8 + 8);
  assertEquals(messages.TRANSPORT_MIN_SIZE, 32);
});

Deno.test("messageType() reads type and reserved bytes as one little-endian number", () => {
  const view = new DataView(hex("ff 04000000 01000001").buffer);
  assertEquals(messages.messageType(view, 1), messages.MESSAGE_TRANSPORT);
  assertEquals(messages.messageType(view, 5), 0x01000001);
});

Deno.test("isTransportMessage() reads no more than the datagram, and the reserved bytes with the type", () => {
  const view = new DataView(hex("04000000 04000001 01000000").buffer);
  const cases: [offset: number, length: number, is: boolean][] = [
    [0, 0, false],
    [0, 3, false],
    [0, 4, true],
    [0, 12, true],
    [4, 4, false],
    [8, 4, false],
  ];
  for (const [offset, length, is] of cases) {
    assertEquals(
      messages.isTransportMessage(view, offset, length),
      is,
      `${length} bytes at ${offset}`,
    );
  }
});

Deno.test("paddedSize() rounds up to 16, never beyond the MTU", () => {
  const cases: [length: number, mtu: number, padded: number][] = [
    [0, 1420, 0],
    [1, 1420, 16],
    [16, 1420, 16],
    [17, 1420, 32],
    [1408, 1420, 1408],
    [1409, 1420, 1420],
    [1420, 1420, 1420],
    [1421, 1420, 1421],
    [65535, 1420, 65535],
    [20, 24, 24],
  ];
  for (const [length, mtu, padded] of cases) {
    assertEquals(messages.paddedSize(length, mtu), padded, `${length} bytes, MTU ${mtu}`);
    assertEquals(messages.transportSize(length, mtu), padded + 32);
  }
});
