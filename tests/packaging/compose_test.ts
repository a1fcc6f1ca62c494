/**
 * Tests lib/packaging/compose-fleet.yaml: that it is YAML, that its names and addresses fit together, and that its
 * commands are the program's. What Docker makes of it is tested where `docker compose` is installed.
 */
import { parse } from "@std/yaml/parse.js";
import { parseArguments } from "../../lib/cli/parse_arguments.ts";
import { natsName } from "../../lib/core/fleet/join/nats_config.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { hostTest } from "../support/permissions.ts";
import { run } from "../support/process.ts";

const PATH = new URL("../../lib/packaging/compose-fleet.yaml", import.meta.url).pathname;

interface Service {
  readonly image: string;
  readonly command?: string;
  readonly hostname?: string;
  readonly volumes: readonly string[];
  readonly networks?: readonly string[] | { readonly fleet: { readonly ipv4_address: string } };
}

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: {
    readonly fleet: { readonly ipam: { readonly config: readonly [{ readonly subnet: string }] } };
  };
  readonly volumes: Readonly<Record<string, object>>;
}

/** Commands in the comment at its head, as words. */
function commands(text: string): string[][] {
  return Array.from(
    text.matchAll(/^# {3}docker compose (?:run(?: --rm| -T)+|exec) (.*)$/gm),
    ([, words]) => words!.replace(/ <.*/, "").split(" "),
  );
}

hostTest("the compose file of a fleet has names that fit together, and commands of ours", () => {
  const text = Deno.readTextFileSync(PATH);
  const { services, networks, volumes } = parse(text) as ComposeFile;
  const gateways = [1, 2, 3].map((number) => `gateway-${number}`);
  const servers = [1, 2, 3].map(natsName);
  assertEquals(Object.keys(services), [...gateways, ...servers, "setup"]);
  const addresses = gateways.map((name) => {
    const { networks: own, hostname, volumes: mounts, image } = services[name]!;
    assertEquals([hostname, image], [name, "localhost/vpn"]);
    assertEquals(mounts, [`./${name}:/etc/vpn`, `${name}:/var/lib/vpn`]);
    assert(own !== undefined && "fleet" in own);
    return own.fleet.ipv4_address;
  });
  for (const name of servers) {
    assertEquals(services[name], {
      image: "nats:2",
      command: "--config /etc/nats/nats-server.conf",
      restart: "unless-stopped",
      networks: ["fleet"],
      volumes: [`./fleet/${name}:/etc/nats:ro`, `${name}:/var/lib/nats`],
    } as Service);
  }
  assertEquals(Object.keys(volumes), [...gateways, ...servers]);
  const [{ subnet }] = networks.fleet.ipam.config;
  assertEquals(subnet, "172.28.0.0/24");

  const used = commands(text);
  assertEquals(used.map(([service]) => service), [
    ...["setup", "gateway-2", "gateway-3", "gateway-2", "gateway-3"],
  ]);
  const parsed = used.map(([, ...words]) =>
    parseArguments(words[0] === "vpn" ? words.slice(1) : words, {
      colour: false,
      width: 80,
      version: "vpn",
    })
  );
  const [first] = parsed;
  assert(first?.command === "fleet" && first.request.action === "init");
  const { nats, virtualAddress } = first.request;
  assertEquals(nats.map(({ host }) => host), servers);
  assertEquals(virtualAddress, { address: 0xac1c_0005, prefixLength: 24 });
  assertEquals(addresses, ["172.28.0.11", "172.28.0.12", "172.28.0.13"]);
});

const hasCompose = await (async () => {
  try {
    return (await run(null, ["docker", "compose", "version"])).code === 0;
  } catch {
    // No Docker, or not allowed to ask.
    return false;
  }
})();

hostTest({
  name: `docker compose takes the file of a fleet${
    hasCompose ? "" : " (ignored: docker compose is not installed)"
  }`,
  ignore: !hasCompose,
  fn: async () => {
    const { code, stderr } = await run(null, ["docker", "compose", "-f", PATH, "config", "-q"]);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
  },
});
