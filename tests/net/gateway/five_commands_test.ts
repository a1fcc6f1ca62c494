/**
 * Runs the commands under "Five minutes to a working VPN" in README.md as they stand there, from an empty folder on
 * each side.
 */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { whereAllowed } from "../../support/permissions.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, layWire, SERVER_INSIDE, SERVER_OUTSIDE } from "../support/wire.ts";
import { expectReached } from "../support/traffic/traffic.ts";

const README = await whereAllowed(() =>
  Deno.readTextFile(new URL("../../../README.md", import.meta.url))
);
/** What the gateway is called there. */
const NAME = "vpn.example.org";
const UP = { server: /listening on UDP port 51820/, client: /connected to \S+/ } as const;

/** The commands under each comment of the block behind the marker. */
function documentedCommands(): { readonly gateway: string[]; readonly laptop: string[] } {
  const block = /<!-- five-commands -->\s*```sh\n(.*?)^```$/ms.exec(README)?.[1];
  assert(block !== undefined, "README.md has no such block");
  const under = (title: string) => {
    const [, rest = ""] = block.split(`# on the ${title}\n`);
    return rest.split("#")[0]!.split("\n").filter((line) => line !== "");
  };
  return { gateway: under("gateway"), laptop: under("laptop") };
}

/** One side: its namespace, its files about names, and a folder of its own that begins empty. */
class Side implements Disposable {
  readonly folder = temporaryFolder();
  readonly files = new HostFiles("nameserver 192.0.2.53\n");
  readonly #bin = temporaryFolder();

  constructor(readonly namespace: TestNamespace) {
    this.program("vpn", `exec ${vpnCommand().join(" ")} "$@"`);
    Deno.writeTextFileSync(this.files.path("hosts"), `${SERVER_OUTSIDE} ${NAME}\n`);
  }

  /** Makes a program that the commands find. */
  program(name: string, script: string): void {
    Deno.writeTextFileSync(`${this.#bin}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  /** The command line that runs one of the commands, as typed into a shell in this folder. */
  shell(line: string): string[] {
    const path = `${this.#bin}:${Deno.env.get("PATH")}`;
    return this.files.command(["sh", "-c", `cd ${this.folder} && PATH=${path} && ${line}`]);
  }

  /** Runs the commands, the last of them in the background until it says that it is up. */
  async run(commands: readonly string[], up: RegExp): Promise<string> {
    let said = "";
    for (const line of commands.slice(0, -1)) said += await this.namespace.output(this.shell(line));
    const process = this.namespace.spawn(this.shell(`exec ${commands.at(-1)}`));
    await process.waitFor(up);
    return said;
  }

  [Symbol.dispose](): void {
    for (const folder of [this.folder, this.#bin]) Deno.removeSync(folder, { recursive: true });
    this.files[Symbol.dispose]();
  }
}

for (
  const { what, option } of [{ what: "", option: "" }, {
    what: " by both families",
    option: " --ipv6",
  }]
) {
  netTest(
    `README.md's five commands connect a laptop${what} from two empty folders`,
    async (topology) => {
      const { gateway: documented, laptop: onLaptop } = documentedCommands();
      assertEquals(documented.length + onLaptop.length, 5);
      const onGateway = documented.map((line) => line.replace(/^vpn init/, `vpn init${option}`));
      const { client, server } = await layWire(topology);
      // To the internet, where nobody is.
      await server.output(["ip", "route", "add", "default", "via", "192.0.2.9", "dev", CABLE]);
      using gateway = new Side(server);
      using laptop = new Side(client);
      // There is no SSH between the two, and it is not what is tested.
      laptop.program("scp", `cp "${gateway.folder}/\${1#${NAME}:}" "$2"`);

      const said = await gateway.run(onGateway, UP.server);
      // What each command says comes next is what README.md does next.
      for (const line of [...onGateway.slice(1), ...onLaptop.slice(1)]) {
        assert(said.includes(line), line);
      }
      await laptop.run(onLaptop, UP.client);

      await expectReached(client, SERVER_INSIDE);
      const route = await client.output(["ip", "route", "get", "203.0.113.9"]);
      assertMatch(route, /dev vpn0/);
      for (const path of [`${gateway.folder}/server.conf`, `${laptop.folder}/laptop.conf`]) {
        assertEquals(Deno.statSync(path).mode! & 0o777, 0o600, path);
      }
      const text = Deno.readTextFileSync(`${gateway.folder}/server.conf`);
      const [, inside6] = /^Address = .*, (fd[0-9a-f:]+)\/64$/m.exec(text) ?? [];
      assertEquals(inside6 !== undefined, option !== "", text);
      if (inside6 === undefined) return;
      await expectReached(client, inside6);
      // To the internet, there is none by IPv6: the gateway says so.
      const far = await client.run(["ping", "-n", "-c", "1", "-W", "30", "2001:db8:99::1"]);
      assertMatch(far.stdout, new RegExp(`From ${inside6} .*No route`));
    },
    { programs: [...HOST_FILES_PROGRAMS, "ip", "ping"] },
  );
}
