/** Tests of what decides whether a library may cipher packets, with libraries that are wrong in one way each. */
import { Arena } from "../../../../ffi/arena.ts";
import { type PacketKey, packetsAgree } from "../../../../ffi/crypto/packet_trial.ts";
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

/** What a library does, given the one that does it right, and its arena. */
type Library = (right: PacketKey, arena: Arena, secret: Uint8Array) => Partial<PacketKey>;

function agrees(library: Library): boolean {
  const arena = new Arena(65_536);
  const builtin = createBuiltinAead(arena);
  let inUse = 0;
  const verdict = packetsAgree(arena, (secret) => {
    const right = builtin.key(secret);
    inUse++;
    return {
      seal: (...packet) => right.seal(...packet),
      open: (...packet) => right.open(...packet),
      ...library(right, arena, secret),
      destroy: () => void inUse--,
    };
  }, createBuiltinAead(arena));
  assertEquals(inUse, 0);
  return verdict;
}

hostTest("packetsAgree() says yes of a library that does as the other does", () => {
  assertEquals(agrees(() => ({})), true);
});

const WRONG: Record<string, Library> = {
  "seals nothing": () => ({ seal: () => false }),
  "says that it seals and does not": () => ({ seal: () => true }),
  "opens nothing": () => ({ open: () => false }),
  "opens whatever comes": (right) => ({ open: (...packet) => right.open(...packet) || true }),
  "is wrong in the last bit of the tag": (right, { bytes }) => ({
    seal(...packet) {
      const sealed = right.seal(...packet);
      const [destination, , length] = packet;
      bytes[destination + length + 15] ^= 1;
      return sealed;
    },
  }),
  "is wrong in the last byte of jumbo frames alone": (right, { bytes }) => ({
    seal(...packet) {
      const sealed = right.seal(...packet);
      const [destination, , length] = packet;
      if (length === 8940) bytes[destination + length - 1] ^= 0x80;
      return sealed;
    },
  }),
  "is wrong in place alone": (right, { bytes }) => ({
    open(...packet) {
      const opened = right.open(...packet);
      const [destination, source, length] = packet;
      if (destination === source && length > 0) bytes[destination] ^= 1;
      return opened;
    },
  }),
  "takes 32 bits of the counter": (right) => ({
    seal: (destination, source, length, low) => right.seal(destination, source, length, low, 0),
    open: (destination, source, length, low) => right.open(destination, source, length, low, 0),
  }),
  "has the counter's halves the other way round": (right) => ({
    seal: (destination, source, length, low, high) =>
      right.seal(destination, source, length, high, low),
    open: (destination, source, length, low, high) =>
      right.open(destination, source, length, high, low),
  }),
};

for (const [what, library] of Object.entries(WRONG)) {
  hostTest(`packetsAgree() says no of a library that ${what}`, () => {
    assertEquals(agrees(library), false);
  });
}

hostTest("packetsAgree() says no of a library that keeps to the first key", () => {
  let first: Uint8Array | null = null;
  assertEquals(
    agrees((_, arena, secret) => {
      const key = createBuiltinAead(arena).key(first ??= secret);
      return { seal: (...packet) => key.seal(...packet), open: (...packet) => key.open(...packet) };
    }),
    false,
  );
});
