/** Shows that a change of a client is made in the file and in what runs, or in neither. */
import { AppError, ExitCode } from "../../../../lib/process/errors.ts";
import type { PeerConfig } from "../../../../lib/core/config/config.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import type { PeerKeyEdit } from "../../../../lib/core/config/text/peer_edit.ts";
import { type ApplyLive, updatePeers } from "../../../../lib/commands/peer/peer_update.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { hostTest } from "../../../support/permissions.ts";

const FILE = `# mine
[Interface]
PrivateKey = ${sampleKeys(1).privateKey}
Address = 10.66.77.1/24

# laptops: one
[Peer]
Name = laptop # the grey one
PublicKey = ${sampleKeys(2).publicKey}
AllowedIPs = 10.66.77.2/32

[Peer]
Name = phone
PublicKey = ${sampleKeys(3).publicKey}
AllowedIPs = 10.66.77.3/32, fd00::3/128
`;

/** A file, with the client's beside it, and gateways that note what they are told. */
class Stage implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "vpn-test-" });
  readonly path = `${this.folder}/server.conf`;
  readonly told: PeerConfig[] = [];
  /** What the gateways say to the next change. */
  refusal: Error | null = null;
  /** Is run when they have applied one. */
  onApplied = () => {};

  constructor() {
    Deno.writeTextFileSync(this.path, FILE, { mode: 0o600 });
    Deno.mkdirSync(`${this.folder}/server.peers`, { mode: 0o700 });
    Deno.writeTextFileSync(`${this.folder}/server.peers/laptop.conf`, "its own", { mode: 0o600 });
  }

  readonly applyLive: ApplyLive = (_, changes) => {
    if (this.refusal !== null) return Promise.reject(this.refusal);
    this.told.push(...changes.map(({ after }) => after));
    this.onApplied();
    return Promise.resolve(["vpn0"]);
  };

  update(name: string, edit: PeerKeyEdit) {
    return updatePeers(this.path, { name, edit }, this.applyLive);
  }

  get text(): string {
    return Deno.readTextFileSync(this.path);
  }

  get clientFiles(): string[] {
    return Array.from(Deno.readDirSync(`${this.folder}/server.peers`), ({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

hostTest("updatePeers() changes one line, keeps its comment, and tells what runs", async () => {
  using stage = new Stage();
  const { changes, appliedOn } = await stage.update("laptop", { key: "Enabled", value: "no" });
  assertEquals([changes[0]!.after.isEnabled, appliedOn], [false, ["vpn0"]]);
  assertEquals(stage.told.map(({ name, isEnabled }) => [name, isEnabled]), [["laptop", false]]);
  const line = "AllowedIPs = 10.66.77.2/32\n";
  assertEquals(stage.text, FILE.replace(line, `${line}Enabled = no\n`));
  await stage.update("laptop", { key: "Enabled", value: null });
  assertEquals(stage.text, FILE);
  assertEquals(Deno.statSync(stage.path).mode! & 0o777, 0o600);
});

hostTest("updatePeers() renames the client's own file with the client", async () => {
  using stage = new Stage();
  await stage.update("laptop", { key: "Name", value: "Tim's laptop" });
  assertEquals(stage.text, FILE.replace("Name = laptop #", "Name = Tim's laptop #"));
  assertEquals(stage.clientFiles, ["Tim's laptop.conf"]);
  await stage.update("phone", { key: "Name", value: "mobile" });
  assertEquals(stage.clientFiles, ["Tim's laptop.conf"]);
  // Without a name there is none that the file could have.
  await stage.update("Tim's laptop", { key: "Name", value: null });
  assertEquals(stage.clientFiles, ["Tim's laptop.conf"]);
});

hostTest(
  "updatePeers() leaves file and client's file as they were where what runs refuses",
  async () => {
    using stage = new Stage();
    stage.refusal = new AppError("no", { exitCode: ExitCode.unexpected });
    for (const [key, value] of [["Name", "tablet"], ["RateLimit", "1M"]] as const) {
      await assertRejects(() => stage.update("laptop", { key, value }), AppError, "no");
      assertEquals([stage.text, stage.clientFiles], [FILE, ["laptop.conf"]]);
    }
  },
);

hostTest(
  "updatePeers() takes back what runs has applied where the file cannot be written",
  async () => {
    using stage = new Stage();
    // The name of what is written at first is in a folder that is no more.
    stage.onApplied = () => {
      stage.onApplied = () => {};
      Deno.renameSync(stage.path, `${stage.folder}/away.conf`);
      Deno.mkdirSync(stage.path);
      Deno.writeTextFileSync(`${stage.path}/x`, "");
    };
    await assertRejects(
      () => stage.update("laptop", { key: "Name", value: "tablet" }),
      AppError,
      "Cannot write",
    );
    assertEquals(stage.told.map(({ name }) => name), ["tablet", "laptop"]);
    assertEquals(Deno.readTextFileSync(`${stage.folder}/away.conf`), FILE);
    assertEquals(stage.clientFiles, ["laptop.conf"]);
  },
);

hostTest(
  "updatePeers() takes no name and no network from another client, and no other client's file",
  async () => {
    using stage = new Stage();
    Deno.writeTextFileSync(`${stage.folder}/server.peers/there.conf`, "precious");
    for (
      const [key, value, problem] of [
        ["Name", "phone", "the peer on line 12 of"],
        ["Name", "there", "it exists already and contains keys"],
        ["AllowedIPs", "10.66.77.2/32, 10.66.77.3/32", "10.66.77.3/32 belongs to phone"],
        ["AllowedIPs", "fd00::3/128", "fd00::3/128 belongs to phone"],
      ] as const
    ) {
      await assertRejects(() => stage.update("laptop", { key, value }), AppError, problem);
    }
    assertEquals([stage.text, stage.told], [FILE, []]);
    assertEquals(Deno.readTextFileSync(`${stage.folder}/server.peers/there.conf`), "precious");
  },
);

hostTest("updatePeers() of one client after the other loses none of the changes", async () => {
  using stage = new Stage();
  await Promise.all([
    stage.update("laptop", { key: "RateLimit", value: "1M" }),
    stage.update("phone", { key: "RateLimit", value: "2M" }),
    stage.update("laptop", { key: "Enabled", value: "no" }),
  ]);
  const { peers } = parseConfig(stage.text, "server.conf");
  assertEquals(peers.map(({ rateLimit, isEnabled }) => [rateLimit, isEnabled]), [
    [1_000_000, false],
    [2_000_000, true],
  ]);
});
