/** Tests of `ffi/capabilities.ts` against what the kernel says of a thread. */
import { Capability, hasCapability } from "../../../ffi/capabilities.ts";
import { assertEquals } from "../../support/assert.ts";
import type { CapabilityReport } from "../../support/ffi/capabilities_worker.ts";
import { hostTest } from "../../support/permissions.ts";

/** The numbers in a set of `/proc/PID/status`. */
function setOf(status: string, name: string): number[] {
  const bits = BigInt(`0x${new RegExp(`^${name}:\\s*(\\S+)$`, "m").exec(status)![1]}`);
  return Array.from({ length: 64 }, (_, number) => number)
    .filter((number) => (bits >> BigInt(number) & 1n) === 1n);
}

async function inThread(
  kept: readonly Capability[],
): Promise<[CapabilityReport, CapabilityReport]> {
  const url = new URL("../../support/ffi/capabilities_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  try {
    return await new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.postMessage(kept);
    });
  } finally {
    worker.terminate();
  }
}

hostTest("keepOnly() leaves a thread those kept of what it had, and no way to more", async () => {
  // One from each half of the sets: `CAP_CHECKPOINT_RESTORE` is number 40.
  const kept = [Capability.netAdmin, Capability.chown, 40 as Capability];
  const [before, after] = await inThread(kept);
  const had = setOf(before.status, "CapEff");
  assertEquals([...before.held], had);
  const left = kept.filter((number) => had.includes(number)).sort((a, b) => a - b);
  assertEquals([...after.held], left);
  assertEquals(setOf(after.status, "CapEff"), left);
  assertEquals(setOf(after.status, "CapPrm"), left);
  assertEquals(setOf(after.status, "CapInh"), []);
  assertEquals(setOf(after.status, "CapAmb"), []);
  // Without CAP_SETPCAP the bounds stay, but no_new_privs keeps programs from making use of them.
  if (had.includes(Capability.setpcap)) assertEquals(setOf(after.status, "CapBnd"), left);
  assertEquals(/^NoNewPrivs:\s*(\d)$/m.exec(after.status)![1], "1");
});

hostTest("keepOnly() leaves other threads alone", async () => {
  const before = Deno.readTextFileSync("/proc/thread-self/status").match(/^(Cap|NoNew).*$/gm);
  await inThread([]);
  assertEquals(
    Deno.readTextFileSync("/proc/thread-self/status").match(/^(Cap|NoNew).*$/gm),
    before,
  );
});

hostTest("hasCapability() says what is in effect", () => {
  const status = Deno.readTextFileSync("/proc/thread-self/status");
  for (const capability of Object.values(Capability)) {
    assertEquals(hasCapability(capability), setOf(status, "CapEff").includes(capability));
  }
});
