/**
 * Tests of the bytes of hellos and heartbeats: what is written is read, what a later version adds is skipped, hostile
 * bytes harm nothing.
 */
import {
  bodySize,
  ControlKind,
  controlKind,
  frame,
  readHeartbeat,
  writeHeartbeat,
} from "../../../../../lib/core/wireguard/liveness/control_message.ts";
import {
  type Hello,
  readHello,
  writeHello,
} from "../../../../../lib/core/wireguard/liveness/hello.ts";
import { isGoodbye } from "../../../../../lib/core/wireguard/liveness/goodbye.ts";
import { answeredLength, isProbe } from "../../../../../lib/core/wireguard/path/path_mtu.ts";
import { createMemory, type Memory } from "../../../../../lib/core/wire/memory.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { fuzz } from "../../../../support/fuzz.ts";
import { Random } from "../../../../support/random.ts";

const HELLO: Hello = {
  version: 1,
  role: "server",
  number: 0xfedc_ba98,
  capabilities: 7,
  heartbeatInterval: 2_000,
  software: "vpn/0.1.0",
  seenAt: { address: 0xc000_0202, port: 40_000 },
  mtu: 1_420,
  time: 1_764_320_000_123,
  instance: 0x8765_4321,
};

/** A message by itself, so that a read beyond it throws. */
function alone(bytes: Uint8Array): Memory {
  const memory = createMemory(bytes.length);
  memory.bytes.set(bytes);
  return memory;
}

function written(hello: Hello): Uint8Array<ArrayBuffer> {
  const memory = createMemory(256);
  memory.bytes.fill(0xee);
  return memory.bytes.slice(8, 8 + writeHello(memory, 8, ControlKind.hello, hello));
}

function read(bytes: Uint8Array): Hello | null {
  return readHello(alone(bytes).view, 0, bytes.length);
}

/** A hello with this many bytes of fields, as lib/core/wireguard/EXTENSIONS.md has it. */
function helloWith(fields: readonly number[]): Uint8Array {
  const memory = createMemory(512);
  memory.bytes.set([1, 2, 0, 0, 0, 0, 0, 9, ...fields], 4);
  return memory.bytes.slice(0, frame(memory, 0, ControlKind.hello, 8 + fields.length));
}

Deno.test("a hello is read as it was written, and its bytes are those of lib/core/wireguard/EXTENSIONS.md", () => {
  assertEquals(read(written(HELLO)), HELLO);
  const least = { ...HELLO, software: "", seenAt: null, role: null, mtu: 0, time: 0 };
  assertEquals(read(written(least)), least);
  assertEquals(
    written(HELLO).toHex(),
    "00" + "01" + "003b" + "01" + "02" + "0000" + "fedcba98" + "0104" + "00000007" + "0204" +
      "000007d0" + "0309" + "76706e2f302e312e30" + "0406" + "c00002029c40" + "0502" + "058c" +
      "0608" + "0000019ac9aab87b" + "0704" + "87654321" + "00",
  );
});

Deno.test("a heartbeat and its answer are read as they were written", () => {
  for (const kind of [ControlKind.heartbeat, ControlKind.heartbeatAnswer] as const) {
    const memory = createMemory(64);
    const length = writeHeartbeat(memory, 8, kind, { sequence: 0x89ab_cdef, interval: 600 });
    assertEquals(length, 16);
    assertEquals(controlKind(memory.view, 8, length), kind);
    assertEquals(readHeartbeat(memory.view, 8, length), { sequence: 0x89ab_cdef, interval: 600 });
    assertEquals(readHeartbeat(memory.view, 8, 11), null);
  }
});

Deno.test("no control message looks like a probe, the answer to one, or a goodbye", () => {
  const memory = createMemory(2_048);
  for (const size of [0, 4, 8, 12, 700]) {
    for (const kind of [1, 2, 3, 4, 255]) {
      const length = frame(memory, 0, kind as ControlKind, size);
      const { view } = memory;
      assert(!isProbe(view, 0, length) && !isGoodbye(view, 0, length));
      assertEquals(answeredLength(view, 0, length), 0);
    }
  }
});

Deno.test("fields that are not known are skipped, whatever they hold, and so is what a known one has more", () => {
  const capabilities = [1, 4, 0, 0, 0, 3];
  const longer = [1, 7, 0, 0, 0, 3, 9, 9, 9];
  const unknown = [99, 3, 1, 4, 0];
  for (const fields of [[...unknown, ...capabilities], [...capabilities, ...unknown], longer]) {
    assertEquals(read(helloWith(fields))!.capabilities, 3);
  }
  // What is shorter than it may be says nothing.
  assertEquals(read(helloWith([1, 3, 0, 0, 3, 2, 0, 5, 1, 4]))!.capabilities, 0);
  // An address of a kind that is neither IPv4's nor IPv6's.
  assertEquals(read(helloWith([4, 19, ...new Array(19).fill(1)]))!.seenAt, null);
  assertEquals(read(helloWith([0, 0, 0, 0, 250, 0]))!.number, 9);
});

Deno.test("a hello tells an address of either family", () => {
  for (const address of [0xc000_0207, "2001:db8::7"]) {
    const seenAt = { address, port: 51_820 };
    assertEquals(read(written({ ...HELLO, seenAt }))!.seenAt, seenAt);
  }
});

Deno.test("a hello that is cut off, or whose field leaves it, is none", () => {
  const whole = written(HELLO);
  const size = bodySize(alone(whole).view, 0, whole.length);
  for (let length = 0; length < 4 + size; length++) {
    assertEquals(read(whole.subarray(0, length)), null, `${length} bytes`);
  }
  for (const fields of [[1], [99, 1], [1, 5, 0, 0, 0, 3], [3, 255, 65]]) {
    assertEquals(read(helloWith(fields)), null, fields.join());
  }
  const nothing = helloWith([]);
  nothing[4] = 0;
  assertEquals(read(nothing), null);
});

Deno.test("the name of a program is printable ASCII or nothing: it goes to terminals", () => {
  for (
    const name of ["vpn\x1b[2J", "vpn\n", "vpn\x00", "ünicode", `"quoted"`, "<b>", "a\\b", "$(x)"]
  ) {
    const bytes = new TextEncoder().encode(name);
    assertEquals(read(helloWith([3, bytes.length, ...bytes]))!.software, "", name);
  }
  const long = new Array(200).fill(65);
  assertEquals(read(helloWith([3, 200, ...long]))!.software, "A".repeat(32));
});

Deno.test("no bytes of a hello or heartbeat make their parsers throw, read beyond them, or believe a clock of no date", () => {
  let [hellos, heartbeats] = [0, 0];
  const whole = written(HELLO);
  const memory = createMemory(16);
  writeHeartbeat(memory, 0, ControlKind.heartbeat, { sequence: 1, interval: 2 });
  const beat = memory.bytes.slice();
  fuzz((random: Random) => {
    const bytes = random.chance(0.3)
      ? random.bytes(random.below(300))
      : random.mutate(random.chance(0.5) ? whole : beat, 6);
    const { view } = alone(bytes);
    if (controlKind(view, 0, bytes.length) > 255) throw new Error("no kind");
    if (readHeartbeat(view, 0, bytes.length) !== null) heartbeats++;
    const hello = readHello(view, 0, bytes.length);
    if (hello === null) return;
    hellos++;
    assert(/^[\x20-\x7e]{0,32}$/.test(hello.software), hello.software);
    assert(!Number.isNaN(new Date(hello.time).getTime()), `${hello.time}`);
    assert(hello.version >= 1 && hello.heartbeatInterval < 2 ** 32);
  });
  assert(hellos > 100 && heartbeats > 100, `${hellos} hellos, ${heartbeats} heartbeats`);
});
