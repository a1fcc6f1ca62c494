/**
 * Tests of lib/core/wireguard/session/key_slots.ts: which session stands in which slot, and which keys are destroyed.
 */
import type { Initiator } from "../../../../../lib/core/noise/handshake.ts";
import { IndexTable } from "../../../../../lib/core/wireguard/handshake/index_table.ts";
import type { PeerSession } from "../../../../../lib/core/wireguard/session/peer_session.ts";
import type { Peer } from "../../../../../lib/core/wireguard/peer.ts";
import {
  confirm,
  dropHandshake,
  dropSessions,
  installInitiated,
  installResponded,
} from "../../../../../lib/core/wireguard/session/key_slots.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { isDestroyed, stubPeer, stubSession } from "../../../../support/wireguard/peer_stub.ts";

/** A peer with its table, and sessions made by number: session `n` has index `16 n`. */
class Slots {
  readonly table = new IndexTable();
  readonly peer: Peer = stubPeer();
  readonly sessions: PeerSession[] = [];

  make(): PeerSession {
    const index = this.sessions.length;
    this.table.allocate(this.peer.index, () => index << 4);
    const session = stubSession(this.peer, index << 4);
    this.sessions.push(session);
    return session;
  }

  initiated(): void {
    installInitiated(this.table, this.peer, this.make());
  }

  responded(): void {
    installResponded(this.table, this.peer, this.make());
  }

  confirm(number: number): boolean {
    return confirm(this.table, this.peer, this.sessions[number]!);
  }

  /** The numbers of the sessions in the slots. Checks that just these are found by index and have their keys. */
  get numbers(): (number | null)[] {
    const { previous, current, next } = this.peer;
    const held = [previous, current, next];
    for (const session of this.sessions) {
      assertEquals(isDestroyed(session), !held.includes(session));
      assertEquals(this.table.session(session.localIndex) === session, held.includes(session));
    }
    return held.map((session) => session && session.localIndex >> 4);
  }
}

Deno.test("installInitiated() takes the session into use and keeps the one before it", () => {
  const slots = new Slots();
  slots.initiated();
  assertEquals(slots.numbers, [null, 0, null]);
  slots.initiated();
  assertEquals(slots.numbers, [0, 1, null]);
  slots.initiated();
  assertEquals(slots.numbers, [1, 2, null]);
});

Deno.test("installResponded() leaves the current session in use until the next is confirmed", () => {
  const slots = new Slots();
  slots.initiated();
  slots.initiated();
  slots.responded();
  assertEquals(slots.numbers, [null, 1, 2]);
  slots.responded();
  assertEquals(slots.numbers, [null, 1, 3]);
  assertEquals(slots.confirm(3), true);
  assertEquals(slots.numbers, [1, 3, null]);
});

Deno.test("confirm() changes nothing for a session that is not the next one", () => {
  const slots = new Slots();
  slots.initiated();
  slots.initiated();
  slots.responded();
  assertEquals([slots.confirm(1), slots.confirm(0)], [false, false]);
  assertEquals(slots.numbers, [null, 1, 2]);
  slots.confirm(2);
  assertEquals(slots.confirm(2), false);
  assertEquals(slots.numbers, [1, 2, null]);
});

Deno.test("installInitiated() keeps an unconfirmed session as previous: both ends began at once", () => {
  const slots = new Slots();
  slots.initiated();
  slots.initiated();
  slots.responded();
  slots.initiated();
  assertEquals(slots.numbers, [2, 3, null]);
});

Deno.test("dropSessions() destroys all keys and frees their indices", () => {
  const slots = new Slots();
  slots.responded();
  slots.confirm(0);
  slots.initiated();
  slots.responded();
  dropSessions(slots.table, slots.peer);
  assertEquals(slots.numbers, [null, null, null]);
  assert(slots.sessions.every(isDestroyed));
});

Deno.test("dropHandshake() destroys the handshake and frees its index, if there is one", () => {
  const { table, peer } = new Slots();
  dropHandshake(table, peer);
  let destroyed = 0;
  const state = { destroy: () => destroyed++ } as unknown as Initiator;
  const sentTo = { address: 0, port: 0 };
  peer.handshake = {
    state,
    localIndex: table.allocate(peer.index, () => 77),
    sentTo,
    sentAt: 0,
    timestamp: new Uint8Array(12),
  };
  dropHandshake(table, peer);
  dropHandshake(table, peer);
  assertEquals([table.peerIndex(77), peer.handshake, destroyed], [0, null, 1]);
});

Deno.test("a new session may ask for its renewal again", () => {
  const slots = new Slots();
  for (const install of ["initiated", "responded"] as const) {
    slots.peer.renewalAsked = true;
    slots[install]();
    assertEquals(slots.peer.renewalAsked, false);
  }
});
