/** Tests of `ffi/netns.ts` against the kernel, and against `ip netns` where that is installed. */
import {
  createNamespace,
  currentNamespaceIs,
  deleteNamespace,
  enterNamespace,
  inNamespace,
  listNamespaces,
  namespaceExists,
  openCurrentNamespace,
  openNamespace,
} from "../../../ffi/netns.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "../../support/assert.ts";
import { netTest, output, run, uniqueName } from "../../support/net.ts";

/** Which namespace a program started now by the thread is in, as in `net:[4026532177]`. */
function identity(namespace: string | null): Promise<string> {
  return output(namespace, ["readlink", "/proc/self/ns/net"]);
}

netTest(
  "createNamespace() makes a namespace that `ip netns` lists, enters and deletes",
  async () => {
    const name = uniqueName("ours");
    createNamespace(name);
    try {
      assertMatch(await output(null, ["ip", "netns", "list"]), new RegExp(`^${name}\\b`, "m"));
      const inside = await output(null, [
        "ip",
        "netns",
        "exec",
        name,
        "readlink",
        "/proc/self/ns/net",
      ]);
      assertEquals(inside, await identity(name));
      assertNotEquals(inside, await identity(null));
      await output(null, ["ip", "netns", "delete", name]);
      assert(!namespaceExists(name));
    } finally {
      if (namespaceExists(name)) deleteNamespace(name);
    }
  },
  { programs: ["ip"] },
);

netTest(
  "inNamespace() enters a namespace that `ip netns add` made, deleteNamespace() deletes it",
  async () => {
    const name = uniqueName("theirs");
    await output(null, ["ip", "netns", "add", name]);
    try {
      assert(listNamespaces().includes(name));
      assertNotEquals(await identity(name), await identity(null));
    } finally {
      deleteNamespace(name);
    }
    assert(!(await output(null, ["ip", "netns", "list"])).includes(name));
  },
  { programs: ["ip"] },
);

netTest("createNamespace() leaves the thread where it is", async () => {
  const before = await identity(null);
  const name = uniqueName("aside");
  createNamespace(name);
  try {
    assertEquals(await identity(null), before);
    assert(!currentNamespaceIs(name));
  } finally {
    deleteNamespace(name);
  }
});

netTest(
  "createNamespace() refuses a name that is taken and leaves its namespace alone",
  async (topology) => {
    const { name } = topology.namespace("taken");
    const before = await identity(name);
    assertThrows(() => createNamespace(name), Error, "the name is taken");
    assertEquals(await identity(name), before);
  },
);

netTest("the functions name the namespace and the cure when there is none", () => {
  const name = uniqueName("nowhere");
  const cure = `no such file /run/netns/${name}; create it with \`ip netns add ${name}\``;
  for (
    const [action, call] of [
      ["enter", () => enterNamespace(name)],
      ["enter", () => inNamespace(name, () => {})],
      ["open", () => openNamespace(name)],
      ["delete", () => deleteNamespace(name)],
    ] as const
  ) {
    const error = assertThrows(call);
    assertEquals(error.message, `Cannot ${action} network namespace "${name}": ${cure}`);
  }
  assert(!namespaceExists(name));
  assert(!currentNamespaceIs(name));
});

netTest("the functions refuse names that would leave the directory", () => {
  for (const name of ["", ".", "..", "../etc", "a/b", "a\0b"]) {
    assertThrows(() => createNamespace(name), Error, "a name must be a plain file name");
    assertThrows(() => enterNamespace(name), Error, "a name must be a plain file name");
    assertThrows(() => deleteNamespace(name), Error, "a name must be a plain file name");
  }
});

netTest(
  "enterNamespace() says so when the file has lost its mount, deleteNamespace() removes it",
  () => {
    const name = uniqueName("stale");
    Deno.mkdirSync("/run/netns", { recursive: true });
    Deno.writeTextFileSync(`/run/netns/${name}`, "");
    try {
      assertThrows(() => enterNamespace(name), Error, "nothing is mounted on its file");
    } finally {
      deleteNamespace(name);
    }
    assert(!namespaceExists(name));
  },
);

netTest(
  "inNamespace() returns what the call returns, also nested, and comes back each time",
  (topology) => {
    const [one, two] = [topology.namespace("one").name, topology.namespace("two").name];
    const seen = inNamespace(one, () => {
      const inner = inNamespace(two, () => [currentNamespaceIs(one), currentNamespaceIs(two)]);
      return [...inner, currentNamespaceIs(one), currentNamespaceIs(two)];
    });
    assertEquals(seen, [false, true, true, false]);
    assert(!currentNamespaceIs(one));
  },
);

netTest("inNamespace() comes back when the call throws", (topology) => {
  const { name } = topology.namespace("throws");
  const thrown = assertThrows(() =>
    inNamespace(name, () => {
      throw new RangeError("from inside");
    }), RangeError);
  assertEquals(thrown.message, "from inside");
  assert(!currentNamespaceIs(name));
});

netTest("inNamespace() comes back from wherever the call has gone", (topology) => {
  const [one, two] = [topology.namespace("one").name, topology.namespace("two").name];
  const moved = inNamespace(one, () => {
    enterNamespace(two);
    return currentNamespaceIs(two);
  });
  assert(moved);
  assert(!currentNamespaceIs(one) && !currentNamespaceIs(two));
});

netTest("a process spawned in inNamespace() is and stays in the namespace", async (topology) => {
  const { name } = topology.namespace("child");
  const child = inNamespace(name, () => {
    return new Deno.Command("sh", {
      args: ["-c", "readlink /proc/self/ns/net; sleep 0.05; readlink /proc/self/ns/net"],
      stdout: "piped",
    }).spawn();
  });
  const { stdout } = await child.output();
  const inside = await identity(name);
  assertEquals(new TextDecoder().decode(stdout), inside + inside);
});

netTest("a listener opened in inNamespace() belongs to the namespace", (topology) => {
  const [one, two] = [topology.namespace("one"), topology.namespace("two")];
  const address = { hostname: "127.0.0.1", port: 8080 };
  using _first = one.inside(() => Deno.listen(address));
  using _second = two.inside(() => Deno.listen(address));
  assertThrows(() => one.inside(() => Deno.listen(address)), Deno.errors.AddrInUse);
});

netTest("a Worker started in inNamespace() runs in the namespace", async (topology) => {
  const { name } = topology.namespace("worker");
  const source = `
    import { currentNamespaceIs } from "${import.meta.resolve("../../../ffi/netns.ts")}";
    self.postMessage(currentNamespaceIs(${JSON.stringify(name)}));`;
  const worker = inNamespace(name, () => {
    return new Worker(`data:application/javascript,${encodeURIComponent(source)}`, {
      type: "module",
    });
  });
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  worker.onmessage = (event) => resolve(event.data);
  worker.onerror = (event) => reject(new Error(event.message));
  assertEquals(await promise, true);
  worker.terminate();
});

netTest("openNamespace() keeps a namespace reachable after its name is gone", async (topology) => {
  const near = topology.namespace("near");
  const name = uniqueName("held");
  createNamespace(name);
  {
    using held = openNamespace(name);
    deleteNamespace(name);
    near.rtnetlink.links.createVeth("v0", { name: "v1", namespace: held.fd });
    assertEquals(near.rtnetlink.links.get("v0").kind, "veth");
  }
  // With the last user the namespace ends, and with it one end of the cable and so the other; the kernel takes a while.
  for (let i = 0; i < 100 && near.rtnetlink.links.find("v0") !== null; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertEquals(near.rtnetlink.links.find("v0"), null);
});

netTest("openCurrentNamespace() opens the thread's own", (topology) => {
  const [one, two] = [topology.namespace("one"), topology.namespace("two")];
  using held = one.inside(openCurrentNamespace);
  two.rtnetlink.links.createVeth("v0", { name: "v1", namespace: held.fd });
  assertEquals(one.rtnetlink.links.get("v1").kind, "veth");
});

netTest(
  "createNamespace(), enterNamespace() and inNamespace() name the missing capability",
  async (topology) => {
    const { name } = topology.namespace("guarded");
    const fresh = uniqueName("denied");
    const source = `
    import * as netns from "${import.meta.resolve("../../../ffi/netns.ts")}";
    const attempts = [
      () => netns.createNamespace("${fresh}"),
      () => netns.enterNamespace("${name}"),
      () => netns.inNamespace("${name}", () => console.log("inside")),
    ];
    for (const attempt of attempts) {
      try { attempt(); } catch (error) { console.log(error.message); }
    }`;
    const { stdout, stderr } = await run(null, [
      "setpriv",
      "--bounding-set=-sys_admin",
      Deno.execPath(),
      "eval",
      source,
    ]);
    const [creation, entry, excursion] = stdout.split("\n");
    assertStringIncludes(
      creation,
      "operation not permitted (EPERM); it requires CAP_SYS_ADMIN",
      stderr,
    );
    assertEquals(
      entry,
      `Cannot enter network namespace "${name}": operation not permitted (EPERM); it requires CAP_SYS_ADMIN (root has it)`,
    );
    assertEquals(excursion, entry);
    assert(!namespaceExists(fresh));
  },
  { programs: ["setpriv"] },
);
