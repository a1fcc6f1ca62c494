/** Tests of the image that `./compile.sh --oci` makes: what it says of itself is so, and it runs as a container. */
import { errorMessage } from "../../lib/process/errors.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { netTest, output, run, type RunResult, type TestNamespace } from "../support/net.ts";
import { hostTest, whereAllowed } from "../support/permissions.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../net/support/host_state.ts";
import { simpleTunnel } from "../net/support/simple_tunnel.ts";
import { ping } from "../net/support/traffic/traffic.ts";
import { startVpn } from "../net/support/programs/vpn.ts";
import { CLIENT_OUTSIDE, layWire, SERVER_INSIDE } from "../net/support/wire.ts";
import { temporaryFolder, withFolder } from "../support/folder.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const ARCHIVE = `${ROOT}dist/vpn.oci.tar`;
const RUNTIMES = ["crun", "runc"] as const;
type Runtime = typeof RUNTIMES[number];

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** What the tests look at of an image's configuration. */
interface ImageConfig {
  readonly architecture: string;
  readonly config: {
    readonly Env: readonly string[];
    readonly Entrypoint: readonly string[];
    readonly Cmd: readonly string[];
    readonly WorkingDir: string;
    readonly StopSignal: string;
    readonly Healthcheck: { readonly Test: readonly string[] };
  };
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

/** An image, unpacked. */
interface Image {
  readonly config: ImageConfig;
  /** The path of its layer. */
  readonly layer: string;
}

async function digestOf(path: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return `sha256:${new Uint8Array(hash).toHex()}`;
}

/** Unpacks an archive, follows its descriptors from the index on, and fails where one does not fit its blob. */
async function openImage(archive: string, folder: string): Promise<Image> {
  await output(null, ["tar", "-C", folder, "-xf", archive]);
  const json = async (path: string) => JSON.parse(await Deno.readTextFile(`${folder}/${path}`));
  const pathOf = ({ digest }: Descriptor) => `blobs/${digest.replace(":", "/")}`;
  const check = async (descriptor: Descriptor, type: string) => {
    assertMatch(descriptor.mediaType, new RegExp(`^application/vnd\\.oci\\.image\\.${type}`));
    const path = `${folder}/${pathOf(descriptor)}`;
    assertEquals(await digestOf(path), descriptor.digest);
    assertEquals((await Deno.stat(path)).size, descriptor.size);
  };
  assertEquals(await json("oci-layout"), { imageLayoutVersion: "1.0.0" });
  const [manifestAt, ...others] = (await json("index.json")).manifests;
  assertEquals(others, []);
  await check(manifestAt, "manifest");
  const manifest = await json(pathOf(manifestAt));
  await check(manifest.config, "config");
  const [layerAt] = manifest.layers;
  await check(layerAt, "layer.*gzip$");
  const config: ImageConfig = await json(pathOf(manifest.config));
  // Of the layer as it is without compression.
  const layer = `${folder}/${pathOf(layerAt)}`;
  const plain = await output(null, ["sh", "-c", `gzip -dc <"$1" | sha256sum`, "sh", layer]);
  assertEquals(config.rootfs.diff_ids, [`sha256:${plain.slice(0, 64)}`]);
  // What engines before the image layout read.
  const [old] = await json("manifest.json");
  assertEquals([old.Config, old.Layers], [pathOf(manifest.config), [pathOf(layerAt)]]);
  return { config, layer };
}

hostTest("an image's digests fit, and the same files give the same bytes", async () => {
  const script =
    `umask "$2"; source ${ROOT}lib/packaging/oci_image.sh; image_archive "$1" "$3" amd64 1.2.3`;
  await withFolder(async (folder) => {
    const archives: Uint8Array[] = [];
    for (const [index, umask] of ["022", "077"].entries()) {
      const root = `${folder}/root${index}`;
      await Deno.mkdir(`${root}/etc`, { recursive: true });
      for (const name of index === 0 ? ["b", "a"] : ["a", "b"]) {
        await Deno.writeTextFile(`${root}/etc/${name}`, `${name}\n`, { mode: 0o644 });
        await Deno.utime(`${root}/etc/${name}`, 1_000_000 * index, 1_000_000 * index);
      }
      const archive = `${folder}/archive${index}`;
      await output(null, ["bash", "-ec", script, "bash", root, umask, archive]);
      archives.push(await Deno.readFile(archive));
    }
    assertEquals(archives[0], archives[1]);
    await Deno.mkdir(`${folder}/image`);
    const { config } = await openImage(`${folder}/archive0`, `${folder}/image`);
    assertEquals(config.architecture, "amd64");
  });
});

const isBuilt = await Deno.stat(ARCHIVE).then(() => true, () => false);
const notBuilt = isBuilt ? null : "dist/vpn.oci.tar is not built, ./compile.sh --oci does it";

hostTest({
  name: `the image starts a gateway, and has a health check${
    notBuilt === null ? "" : ` (ignored: ${notBuilt})`
  }`,
  ignore: notBuilt !== null,
  fn: () =>
    withFolder(async (folder) => {
      const { config: { architecture, config } } = await openImage(ARCHIVE, folder);
      assertEquals(architecture, Deno.build.arch === "aarch64" ? "arm64" : "amd64");
      assertEquals([...config.Entrypoint, ...config.Cmd], [
        "/usr/bin/vpn",
        ...["server", "--config", "/etc/vpn/server.conf"],
      ]);
      assertEquals(config.StopSignal, "SIGTERM");
      assertEquals(config.Healthcheck.Test, ["CMD", "/usr/bin/vpn", "status", "--json"]);
    }),
});

/** A container as OCI runtimes take it, with what the compose file of the README gives it, and no more. */
function bundleConfig(
  { args, image: { config: { config } }, namespace, etc }: {
    readonly args: readonly string[];
    readonly image: Image;
    readonly namespace: TestNamespace;
    /** What is mounted at `/etc/vpn`. */
    readonly etc: string;
  },
): unknown {
  const capabilities = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"];
  const temporary = { type: "tmpfs", source: "tmpfs" };
  return {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 0, gid: 0 },
      args,
      env: config.Env,
      cwd: config.WorkingDir,
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", ...temporary, options: ["nosuid", "mode=755"] },
      { destination: "/run", ...temporary },
      { destination: "/tmp", ...temporary },
      { destination: "/etc/vpn", source: etc, options: ["bind", "rw"] },
    ],
    linux: {
      namespaces: [
        ...["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
        { type: "network", path: `/run/netns/${namespace.name}` },
      ],
      devices: [{ path: "/dev/net/tun", type: "c", major: 10, minor: 200, fileMode: 0o666 }],
      readonlyPaths: ["/proc/sys"],
    },
  };
}

/** The command line that runs a runtime. */
function runtimeCommand(runtime: Runtime, ...args: readonly string[]): string[] {
  if (runtime === "runc") return ["runc", ...args];
  // crun does without control groups; beside those of version 1, it takes those of version 2 for a mistake.
  const script = 'umount /sys/fs/cgroup/unified 2>/dev/null || :; exec "$@"';
  const command = ["crun", "--cgroup-manager=disabled", ...args];
  return ["unshare", "--mount", "sh", "-ec", script, "sh", ...command];
}

/** What keeps a runtime from running any container here, in words; null for nothing. */
async function troubleWith(runtime: Runtime): Promise<string | null> {
  const folder = temporaryFolder();
  try {
    // This host's programs, in a root of their own.
    for (const name of ["dev", "proc", "usr"]) {
      await Deno.mkdir(`${folder}/rootfs/${name}`, { recursive: true });
    }
    for (const name of ["bin", "lib", "lib64"]) {
      await Deno.symlink(`usr/${name}`, `${folder}/rootfs/${name}`);
    }
    const config = {
      ociVersion: "1.0.2",
      process: { user: { uid: 0, gid: 0 }, args: ["/bin/true"], cwd: "/" },
      root: { path: "rootfs" },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs" },
        { destination: "/usr", source: "/usr", options: ["rbind", "ro"] },
      ],
      linux: { namespaces: [{ type: "pid" }, { type: "mount" }] },
    };
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(config));
    const id = `vpn-test-${Deno.pid}-probe`;
    const { code, stderr }: RunResult = await run(
      null,
      runtimeCommand(runtime, "run", "--bundle", folder, id),
    );
    return code === 0 ? null : `${runtime} runs no container here: ${stderr.trim().split("\n")[0]}`;
  } catch (error) {
    return `${runtime} cannot be run: ${errorMessage(error)}`;
  }
}

for (const runtime of RUNTIMES) {
  const trouble = notBuilt ?? await whereAllowed(() => troubleWith(runtime)) ?? null;
  netTest(
    `the image runs under ${runtime}: a gateway serves, is healthy, and ends by SIGTERM`,
    async (topology) => {
      const { client, server } = await layWire(topology);
      await server.output(["ip", "route", "add", "default", "via", CLIENT_OUTSIDE]);
      const before = await hostState(server);
      await withFolder(async (folder) => {
        for (const name of ["image", "rootfs", "etc"]) await Deno.mkdir(`${folder}/${name}`);
        const image = await openImage(ARCHIVE, `${folder}/image`);
        await output(null, ["tar", "-C", `${folder}/rootfs`, "-xzf", image.layer]);
        const tunnel = simpleTunnel();
        const config = tunnel.server({ DnsProxy: "192.0.2.53" });
        await Deno.writeTextFile(`${folder}/etc/server.conf`, config, { mode: 0o600 });
        const { Entrypoint, Cmd, Healthcheck } = image.config.config;
        const bundle = bundleConfig({
          args: [...Entrypoint, ...Cmd],
          image,
          namespace: server,
          etc: `${folder}/etc`,
        });
        await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(bundle));
        const id = `vpn-test-${Deno.pid}-${runtime}`;
        // Not in the namespace itself: the runtime puts the container there.
        const outside = topology.namespace("outside");
        const container = outside.spawn(runtimeCommand(runtime, "run", "--bundle", folder, id));
        try {
          await container.waitFor(/listening on UDP port/);
          await startVpn("client", client, tunnel.client());
          assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
          const [kind, ...check] = Healthcheck.Test;
          assertEquals(kind, "CMD");
          const health = await run(null, runtimeCommand(runtime, "exec", id, ...check));
          assertEquals(health.code, 0, health.stderr);
          assertEquals(JSON.parse(health.stdout)[0].state, "up");
          await output(null, runtimeCommand(runtime, "kill", id, "TERM"));
          assertEquals((await container.ended()).code, 0, container.stderr);
          assert(!/cannot undo/.test(container.stderr), container.stderr);
        } finally {
          await run(null, runtimeCommand(runtime, "delete", "--force", id));
        }
        assertEquals(await hostState(server), before);
      });
    },
    { programs: [...HOST_STATE_PROGRAMS, runtime, "unshare", "ip", "ping"], trouble },
  );
}
