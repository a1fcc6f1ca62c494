/** Tests of lib/core/fleet/mesh/mesh_machine.ts. */
import type { GatewayHeartbeat } from "../../../../../lib/core/fleet/mesh/heartbeat.ts";
import {
  type MeshAction,
  type MeshEvent,
  MeshMachine,
} from "../../../../../lib/core/fleet/mesh/mesh_machine.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { FIRST_HEARTBEAT } from "../../../../support/fleet/heartbeats.ts";

const UNIX = 1_700_000_000_000;

/** Gateway 0 alone with what it is told. */
class Gateway {
  now = 1_000;
  readonly machine: MeshMachine;
  #sequence = 0;

  constructor(members: readonly number[], isDraining = false) {
    this.machine = new MeshMachine(
      { self: 0, members, generation: 7, addressKey: 1, isDraining },
      this.now,
    );
  }

  /** Whether the store answers what is written, from then on at once. */
  answersWrites = false;
  #revision = 1_000;

  tell(event: MeshEvent): readonly MeshAction[] {
    const actions = this.machine.take(event, this.now, UNIX + this.now);
    const write = actions.find((action) => action.kind === "write-term");
    if (write === undefined || !this.answersWrites) return actions;
    const written = this.tell({ kind: "term-written", id: write.id, revision: ++this.#revision });
    return [...actions, ...written];
  }

  /** The term, as another says that it knows it. */
  get told(): Pick<GatewayHeartbeat, "term" | "holder"> {
    const { term, holder } = this.machine.state;
    return { term, holder };
  }

  hear(from: number, heartbeat: Partial<GatewayHeartbeat>): readonly MeshAction[] {
    const sequence = ++this.#sequence;
    return this.tell({
      kind: "heartbeat",
      from,
      heartbeat: {
        ...FIRST_HEARTBEAT,
        clock: UNIX + this.now,
        hears: new Set([0]),
        sequence,
        ...heartbeat,
      },
    });
  }

  /** Lets time pass in which another says something each 150 ms. */
  hearFor(ms: number, from: number, says: () => Partial<GatewayHeartbeat>): readonly MeshAction[] {
    const actions: MeshAction[] = [];
    for (const end = this.now + ms; this.now < end; actions.push(...this.passTo(this.now + 150))) {
      actions.push(...this.hear(from, says()));
    }
    return actions;
  }

  /** Lets time pass up to then, and gives what comes of it. */
  passTo(time: number): readonly MeshAction[] {
    const actions: MeshAction[] = [];
    while (this.machine.dueAt <= time) {
      this.now = Math.max(this.now, this.machine.dueAt);
      actions.push(...this.tell({ kind: "time" }));
    }
    this.now = time;
    return actions;
  }
}

const isSend = (action: MeshAction) => action.kind === "send";
const isWrite = ({ kind }: MeshAction) => kind === "write-term";
const others = (actions: readonly MeshAction[]) => actions.filter((action) => !isSend(action));
const sent = (actions: readonly MeshAction[]) =>
  actions.flatMap((action) => action.kind === "send" ? [action] : []);

Deno.test("each other gateway is sent a heartbeat each 150 ms, whether it is there or not", () => {
  const gateway = new Gateway([0, 1, 2], true);
  const beats: [number, number][] = [];
  for (let time = 1_000; time <= 1_450; time += 50) {
    for (const { to } of sent(gateway.passTo(time))) beats.push([time, to]);
  }
  assertEquals(beats, [1_000, 1_150, 1_300, 1_450].flatMap((at) => [[at, 1], [at, 2]]));
});

Deno.test("after a pause of the process one heartbeat is sent, and not those that are missing", () => {
  const gateway = new Gateway([0, 1]);
  gateway.passTo(1_000);
  gateway.now = 9_000;
  assertEquals(sent(gateway.tell({ kind: "time" })).length, 1);
  assertEquals(gateway.machine.dueAt, 9_150);
});

Deno.test("heartbeats have the generation, rising sequences, and who is heard", () => {
  const gateway = new Gateway([0, 1, 2]);
  gateway.passTo(1_000);
  gateway.hear(2, {});
  const [{ heartbeat: first }] = sent(gateway.passTo(1_150));
  const [{ heartbeat: second }] = sent(gateway.passTo(1_300));
  assertEquals([first!.generation, second!.sequence - first!.sequence], [7, 1]);
  assertEquals([...first!.hears], [2]);
});

Deno.test("a heartbeat that asks is answered at once, and one that is silent is asked before it is down", () => {
  const gateway = new Gateway([0, 1], true);
  gateway.passTo(1_010);
  assertEquals(sent(gateway.hear(1, { asks: true })).map(({ heartbeat }) => heartbeat.asks), [
    false,
  ]);
  assertEquals(sent(gateway.passTo(1_459)).some(({ heartbeat }) => heartbeat.asks), false);
  assertEquals(sent(gateway.passTo(1_460)).map(({ heartbeat }) => heartbeat.asks), [true]);
  const down = others(gateway.passTo(1_610)).map(({ kind }) => kind);
  assert(down.includes("gateway-down"));
});

Deno.test("a gateway comes up, leaves the fleet, and is told of", () => {
  const gateway = new Gateway([0, 1]);
  gateway.passTo(1_010);
  assertEquals(others(gateway.hear(1, {})), [{ kind: "gateway-up", gateway: 1 }]);
  assertEquals(others(gateway.hear(1, {})), []);
  assertEquals(others(gateway.hear(3, {})), []);
  assertEquals(
    others(gateway.tell({ kind: "members", members: [0, 2] })),
    [{ kind: "gateway-down", gateway: 1 }],
  );
});

Deno.test("a fleet of one has its address at once without the store, and by the store's entry with it", () => {
  const alone = new Gateway([0]);
  assertEquals(others(alone.passTo(1_000)), [{ kind: "take-address", term: 1 }]);
  assertEquals(others(alone.tell({ kind: "store", isReached: true })), [
    { kind: "write-term", id: 1, entry: { term: 1, holder: 0, voters: [0] }, expected: 0 },
  ]);
  alone.tell({ kind: "term-written", id: 1, revision: 4 });
  assertEquals(others(alone.passTo(90_000)), []);
});

/** One that has two votes of three, and with them the address in term 6. */
function holder(): Gateway {
  const gateway = new Gateway([0, 1, 2]);
  gateway.passTo(1_000);
  gateway.tell({ kind: "term-entry", entry: { term: 5, holder: 2, voters: [] }, revision: 40 });
  gateway.tell({ kind: "store", isReached: true });
  gateway.passTo(1_600);
  assertEquals(gateway.hear(1, { vote: 0 }).filter(isWrite), [
    { kind: "write-term", id: 1, entry: { term: 6, holder: 0, voters: [0, 1, 2] }, expected: 40 },
  ]);
  assertEquals(others(gateway.tell({ kind: "term-written", id: 1, revision: 41 })), [
    { kind: "take-address", term: 6 },
  ]);
  return gateway;
}

Deno.test("the address is taken with more than half of the votes, by compare-and-set of the store's entry, and all are told at once", () => {
  const gateway = holder();
  const [{ heartbeat }] = sent(gateway.passTo(gateway.now + 10));
  assertEquals(
    [heartbeat!.holds, heartbeat!.term, heartbeat!.holder, heartbeat!.needsStore, heartbeat!.vote],
    [true, 6, 0, true, 0],
  );
});

Deno.test("a write that was too late is none: what the store has counts", () => {
  const gateway = new Gateway([0, 1, 2]);
  gateway.passTo(1_000);
  gateway.tell({ kind: "store", isReached: true });
  gateway.passTo(1_600);
  gateway.hear(1, { vote: 0 });
  gateway.tell({ kind: "term-entry", entry: { term: 1, holder: 2, voters: [] }, revision: 9 });
  assertEquals(others(gateway.tell({ kind: "term-written", id: 1, revision: null })), []);
  assertEquals([gateway.machine.state.holder, gateway.machine.state.holds], [2, false]);
  assertEquals(gateway.passTo(1_750).filter(isWrite), [
    { kind: "write-term", id: 2, entry: { term: 2, holder: 0, voters: [0, 1, 2] }, expected: 9 },
  ]);
});

Deno.test("a holder that learns of a later term gives the address up, from a gateway or the store", () => {
  for (const isFromStore of [false, true]) {
    const gateway = holder();
    const actions = isFromStore
      ? gateway.tell({
        kind: "term-entry",
        entry: { term: 7, holder: 2, voters: [] },
        revision: 42,
      })
      : gateway.hear(1, { vote: 2, term: 7, holder: 2 });
    assertEquals(others(actions)[0], { kind: "give-address-up", reason: "another" });
    assertEquals(gateway.machine.state.holds, false);
  }
});

Deno.test("a holder without votes and without the store gives the address up within 2 s of the last word", () => {
  const gateway = holder();
  gateway.tell({ kind: "store", isReached: false });
  const heardAt = gateway.now;
  gateway.hear(1, { vote: 0 });
  assertEquals(others(gateway.passTo(heardAt + 1_599)), [{ kind: "gateway-down", gateway: 1 }]);
  assertEquals(others(gateway.passTo(heardAt + 1_600)), [
    { kind: "give-address-up", reason: "alone" },
  ]);
});

Deno.test("a holder that the others do not see keeps the address as long as it can renew the store's entry", () => {
  const gateway = holder();
  gateway.answersWrites = true;
  gateway.hearFor(900, 1, () => ({ vote: 0, ...gateway.told, needsStore: true }));
  const writes: [number, number][] = [];
  for (const end = gateway.now + 9_000; gateway.now < end;) {
    for (const action of others(gateway.passTo(gateway.now + 50))) {
      assert(action.kind !== "give-address-up");
      if (action.kind === "write-term") writes.push([action.entry.term, gateway.now]);
    }
  }
  // Each 200 ms, once the other is dead, and in a last term in which that is no voter any more.
  assertEquals(writes.length > 38 && writes.at(-1)![0], gateway.machine.state.term);
  gateway.answersWrites = false;
  const { now } = gateway;
  const ends = others(gateway.passTo(now + 800)).filter((action) => !isWrite(action));
  assertEquals(ends, []);
  assertEquals(others(gateway.passTo(now + 1_000)), [
    { kind: "give-address-up", reason: "alone" },
  ]);
});

Deno.test("a gateway that is dead for a second is no voter any more, and one when it is back for a second", () => {
  const gateway = holder();
  gateway.answersWrites = true;
  const voters: string[] = [];
  const watch = (actions: readonly MeshAction[]) => {
    for (const each of actions) {
      if (each.kind === "write-term") voters.push(each.entry.voters.join());
    }
  };
  const says = () => ({ vote: 0, ...gateway.told, needsStore: true });
  watch(gateway.hearFor(3_000, 1, says));
  assertEquals(voters, ["0,1"]);
  const isBack = gateway.now;
  for (; voters.length === 1; watch(gateway.hearFor(150, 1, says))) watch(gateway.hear(2, says()));
  assertEquals(voters, ["0,1", "0,1,2"]);
  assert(gateway.now - isBack >= 1_000 && gateway.now - isBack < 1_400);
  const later = gateway.hearFor(450, 1, says);
  assertEquals(later.filter(isWrite), []);
});

Deno.test("a holder's next term, which the store has told of first, is no reason to want another", () => {
  const gateway = new Gateway([0, 1, 2]);
  gateway.passTo(1_000);
  gateway.tell({ kind: "store", isReached: true });
  gateway.hearFor(750, 1, () => ({ term: 5, holder: 1, holds: true, vote: 1 }));
  gateway.tell({
    kind: "term-entry",
    entry: { term: 6, holder: 1, voters: [0, 1, 2] },
    revision: 9,
  });
  assertEquals(gateway.hear(2, { vote: 0 }).filter(isWrite), []);
});

Deno.test("a gateway is needed as long as those that are there are less than half of the voters", () => {
  const gateway = new Gateway([0, 1, 2, 3]);
  gateway.passTo(1_000);
  assertEquals(gateway.machine.state.isNeeded, false);
  gateway.hear(1, { term: 5, holder: 1, voters: new Set([0, 1, 2]) });
  assertEquals(gateway.machine.state.isNeeded, true);
  gateway.hear(3, {});
  assertEquals(gateway.machine.state.isNeeded, true);
  gateway.hear(1, { term: 6, holder: 1, voters: new Set([0, 1]) });
  assertEquals(gateway.machine.state.isNeeded, false);
});

Deno.test("a gateway is known once it is heard by the one that has the address, or has it itself", () => {
  const gateway = new Gateway([0, 1, 2]);
  gateway.passTo(1_000);
  const isKnown = () => gateway.machine.state.isKnown;
  gateway.hear(1, { term: 5, holder: 2, vote: 2 });
  assertEquals(isKnown(), false);
  gateway.hear(2, { term: 5, holder: 2, holds: true, vote: 2, hears: new Set([1]) });
  assertEquals(isKnown(), false);
  gateway.hear(2, { term: 5, holder: 2, holds: true, vote: 2, hears: new Set([0, 1]) });
  assertEquals(isKnown(), true);
  gateway.passTo(gateway.now + 1_000);
  assertEquals(isKnown(), false);
  const alone = new Gateway([0]);
  alone.answersWrites = true;
  alone.tell({ kind: "store", isReached: true });
  alone.tell({ kind: "term-entry", entry: null, revision: 0 });
  alone.passTo(2_000);
  assertEquals([alone.machine.state.holds, alone.machine.state.isKnown], [true, true]);
});

Deno.test("more than half take the address without the store only where all of them know that its holder does not go on by it", () => {
  for (const [here, there] of [[true, true], [true, false], [false, true], [false, false]]) {
    const gateway = new Gateway([0, 1, 2]);
    gateway.passTo(1_000);
    const holding = { term: 5, holder: 1, holds: true, needsStore: here!, vote: 1 };
    gateway.hear(1, holding);
    const vote = { vote: 0, term: 5, holder: 1, needsStore: there! };
    const actions: MeshAction[] = [];
    for (; gateway.now < 3_000; actions.push(...gateway.passTo(gateway.now + 150))) {
      actions.push(...gateway.hear(2, vote));
    }
    const taken = actions.filter(({ kind }) => kind === "take-address");
    assertEquals(taken, here || there ? [] : [{ kind: "take-address", term: 6 }]);
  }
});

Deno.test("with half of the votes the address is taken by the store, once its holder has not renewed the entry for a while", () => {
  const gateway = new Gateway([0, 1]);
  gateway.passTo(1_000);
  gateway.tell({ kind: "term-entry", entry: { term: 5, holder: 1, voters: [] }, revision: 40 });
  gateway.tell({ kind: "store", isReached: true });
  for (let revision = 41; revision < 50; revision++) {
    assertEquals(gateway.passTo(gateway.now + 400).filter(isWrite), []);
    gateway.tell({ kind: "term-entry", entry: { term: 5, holder: 1, voters: [] }, revision });
  }
  const renewedAt = gateway.now;
  assertEquals(gateway.passTo(renewedAt + 499).filter(isWrite), []);
  assertEquals(gateway.passTo(renewedAt + 500).filter(isWrite), [
    { kind: "write-term", id: 1, entry: { term: 6, holder: 0, voters: [0, 1] }, expected: 49 },
  ]);
});

Deno.test("the state has what is known of each gateway", () => {
  const gateway = new Gateway([0, 1, 2]);
  gateway.passTo(1_000);
  gateway.hear(1, { reachesStore: true, isDraining: true, clock: UNIX + 1_000 + 130 });
  assertEquals(gateway.machine.state, {
    holder: null,
    term: 0,
    holds: false,
    isDraining: false,
    isNeeded: true,
    isKnown: false,
    reachesStore: false,
    gateways: [
      { gateway: 1, isUp: true, isDraining: true, reachesStore: true, skew: 130 },
      { gateway: 2, isUp: false, isDraining: false, reachesStore: false, skew: null },
    ],
  });
});
