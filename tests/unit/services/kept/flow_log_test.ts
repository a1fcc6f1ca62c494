/** Tests of `lib/services/kept/flow_log.ts`: off by default, whose a flow is, what is lost, and the end. */
import type { FlowBatch } from "../../../../lib/core/flows/flow_meter.ts";
import { parseCidr, parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { RecordFile } from "../../../../lib/host/accounts/record_file.ts";
import { type ClientFlow, FLOWS } from "../../../../lib/host/accounts/record_kinds.ts";
import type { PeerNetworks } from "../../../../lib/services/dns_proxy/followed_peers.ts";
import { FlowLog } from "../../../../lib/services/kept/flow_log.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const NOW = Date.UTC(2026, 10, 28);

/** A flow of TCP, as the data plane says it, the lower address having begun. */
function batch(lower: string, higher: string, lost = 0): FlowBatch {
  return {
    words: Int32Array.of(
      ...[0, 0, 0xffff, parseIpv4(lower)!],
      ...[0, 0, 0xffff, parseIpv4(higher)!],
      ...[(40_000 << 16) | 443, 6, 1],
    ),
    figures: Float64Array.of(NOW - 1_000, NOW, 100, 2_000),
    lost,
  };
}

const networks = (name: string | null, address: string): PeerNetworks => ({
  name,
  allowedIps: [parseCidr(`${address}/32`)!],
  allowedIps6: [],
});

class Site implements AsyncDisposable {
  readonly folder = temporaryFolder();
  readonly path = `${this.folder}/vpn0.flows`;
  readonly timers = new FakeTimers();
  /** What the data plane was told, and how often it was asked. */
  readonly told: boolean[] = [];
  readonly asked: boolean[] = [];
  readonly warned: unknown[] = [];
  batches: FlowBatch[] = [];
  hasDied = false;
  peers: ReadonlyMap<string, PeerNetworks> = new Map([
    ["a", networks("laptop", "10.66.77.2")],
    ["b", networks(null, "10.66.77.3")],
  ]);
  readonly log: FlowLog;

  constructor() {
    this.log = new FlowLog({
      path: this.path,
      peers: () => this.peers,
      now: () => NOW,
      dataPlane: {
        setFlowLog: (isOn) => void this.told.push(isOn),
        flows: (isLast) => {
          if (this.hasDied) return Promise.reject(new Error("it has ended"));
          this.asked.push(isLast);
          return Promise.resolve(this.batches.splice(0));
        },
      },
      logger: {
        info: () => {},
        warn: (_: string, values: unknown) => void this.warned.push(values),
      } as never,
    });
  }

  async kept(): Promise<ClientFlow[]> {
    using file = await RecordFile.openToRead(this.path, FLOWS);
    return file.records(0, 0).map(({ id: _, ...flow }) => flow);
  }

  get files(): string[] {
    return [...Deno.readDirSync(this.folder)].map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log[Symbol.asyncDispose]();
    this.timers[Symbol.dispose]();
  }
}

hostTest("a gateway without it asks its data plane for nothing, and removes what was", async () => {
  await using site = new Site();
  Deno.writeTextFileSync(site.path, "");
  await site.log.turn(false);
  await site.timers.advance(5_000);
  assertEquals([site.told, site.asked, site.files], [[], [], []]);
});

hostTest("flows are kept under who began them, or else under whom they were for", async () => {
  await using site = new Site();
  await site.log.turn(true);
  site.batches = [
    batch("10.66.77.2", "203.0.113.9"),
    batch("10.66.77.2", "10.66.77.3"),
    batch("10.66.77.1", "10.66.77.3"),
    batch("10.66.77.1", "203.0.113.9"),
  ];
  await site.timers.advance(1_500);
  const kept = await site.kept();
  assertEquals(kept.map(({ client, name, toClient, toName }) => [client, name, toClient, toName]), [
    ["a", "laptop", null, null],
    ["a", "laptop", "b", null],
    ["b", null, null, null],
    ["10.66.77.1", null, null, null],
  ]);
  assertEquals({ ...kept[0] }, {
    ...{ time: NOW, client: "a", name: "laptop", begun: NOW - 1_000, protocol: "tcp" },
    ...{ source: "10.66.77.2", sourcePort: 40_000, destination: "203.0.113.9" },
    ...{ destinationPort: 443, toClient: null, toName: null, sent: 100, received: 2_000 },
  });

  await site.log.turn(false);
  site.batches = [batch("10.66.77.2", "203.0.113.9")];
  await site.timers.advance(5_000);
  assertEquals([site.told, site.files], [[true, false], []]);
});

hostTest(
  "what a peer did until it was removed is told as its own, and later ones are their peers'",
  async () => {
    await using site = new Site();
    await site.log.turn(true);
    await site.timers.advance(1_000);
    site.peers = new Map([["c", networks("other", "10.66.77.3")]]);
    site.batches = [batch("10.66.77.2", "203.0.113.9"), batch("10.66.77.3", "203.0.113.9")];
    await site.timers.advance(1_500);
    // Another change, and it is back.
    site.peers = new Map([["a", networks("back", "10.66.77.2")]]);
    site.batches = [batch("10.66.77.2", "10.66.77.3")];
    await site.timers.advance(1_500);
    assertEquals((await site.kept()).map(({ client, name, toName }) => [client, name, toName]), [
      ["a", "laptop", null],
      ["c", "other", null],
      ["a", "back", "other"],
    ]);
  },
);

hostTest(
  "the end writes the flows that go on, and a data plane that has died does not hinder it",
  async () => {
    await using site = new Site();
    await site.log.turn(true);
    site.batches = [batch("10.66.77.2", "203.0.113.9")];
    await site.log[Symbol.asyncDispose]();
    assertEquals([site.asked, (await site.kept()).length], [[true], 1]);

    await using other = new Site();
    await other.log.turn(true);
    other.hasDied = true;
    await other.log[Symbol.asyncDispose]();
    assertEquals(await other.kept(), []);
  },
);

hostTest("flows that there was no room for are said once a minute, with their number", async () => {
  await using site = new Site();
  await site.log.turn(true);
  for (let i = 0; i < 3; i++) {
    site.batches = [batch("10.66.77.2", "203.0.113.9", 5)];
    await site.timers.advance(1_000);
  }
  assertEquals(site.warned, [{ lost: 5 }]);
  assertMatch(site.files.join(), /vpn0\.flows/);
});
