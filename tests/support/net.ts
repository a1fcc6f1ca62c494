/**
 * Base of network tests: their registration, and namespaces joined by cables with programs running in them. Everything
 * made here is taken away again when the test ends, however it ends; nothing else is touched.
 */
import { check } from "../../ffi/errno.ts";
import { cString, openLibc } from "../../ffi/libc.ts";
import { parsePrefix } from "../../ffi/netlink/ip_address.ts";
import { LOOPBACK } from "../../ffi/netlink/links.ts";
import { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  namespaceExists,
  openNamespace,
} from "../../ffi/netns.ts";
import { errorMessage } from "../../lib/process/errors.ts";
import {
  type BackgroundProcess,
  output,
  run,
  type RunOptions,
  type RunResult,
  spawn,
} from "./process.ts";
import { environment, missingPermission } from "./permissions.ts";

export {
  BackgroundProcess,
  output,
  run,
  type RunOptions,
  type RunResult,
  spawn,
} from "./process.ts";

const O_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

/** What a network test needs beyond root, `/dev/net/tun` and namespaces. */
export interface NetTestOptions {
  /** External programs, looked up in PATH. */
  readonly programs?: readonly string[];
  /** What else keeps it from running here, in words. */
  readonly trouble?: string | null;
  /** It takes minutes, so it runs only where the environment variable VPN_SLOW_TESTS is set. */
  readonly slow?: boolean;
}

/**
 * Registers a test that needs root, `/dev/net/tun` and namespaces. Without them, or without a program it needs, it is
 * reported as ignored, with the reason in its name. The topology it is given is taken down when it ends.
 */
export function netTest(
  name: string,
  test: (topology: Topology) => void | Promise<void>,
  options: NetTestOptions = {},
): void {
  const missing = missingPrerequisite(options);
  Deno.test({
    name: missing === null ? name : `${name} (ignored: ${missing})`,
    ignore: missing !== null,
    fn: async () => {
      await using topology = new Topology();
      await test(topology);
    },
  });
}

/** What keeps network tests from running here, in words; null when nothing does. */
export function missingPrerequisite(options: NetTestOptions = {}): string | null {
  if (typeof options.trouble === "string") return options.trouble;
  if (options.slow === true && !environment("VPN_SLOW_TESTS")) {
    return "it takes minutes; set VPN_SLOW_TESTS=1 to run it";
  }
  const permission = missingPermission();
  if (permission !== null) return permission;
  if (Deno.uid() !== 0) return "it needs root";
  try {
    Deno.openSync("/dev/net/tun", { read: true, write: true }).close();
  } catch (error) {
    return `/dev/net/tun cannot be opened: ${errorMessage(error)}`;
  }
  try {
    leaveNamespaceAndReturn();
  } catch (error) {
    return `no network namespace can be made: ${errorMessage(error)}`;
  }
  const absent = (options.programs ?? []).filter((program) => !isInstalled(program));
  return absent.length === 0 ? null : `it needs the program ${absent.join(" and ")}`;
}

/**
 * Tries what making a namespace takes, by system calls alone: were the probe to use the code that the tests are about,
 * a fault there would turn them from failed to ignored.
 */
function leaveNamespaceAndReturn(): void {
  const libc = openLibc();
  const home = libc.symbols.open(cString("/proc/thread-self/ns/net"), O_CLOEXEC);
  check(libc, home, "open the network namespace");
  try {
    check(libc, libc.symbols.unshare(CLONE_NEWNET), "unshare the network namespace");
    check(libc, libc.symbols.setns(home, CLONE_NEWNET), "return to the network namespace");
  } finally {
    libc.symbols.close(home);
  }
}

/** Whether a program is in PATH. */
export function isInstalled(program: string): boolean {
  return (environment("PATH") ?? "").split(":").some((directory) => {
    try {
      return Deno.statSync(`${directory}/${program}`).isFile;
    } catch {
      return false;
    }
  });
}

/** A name that carries the process id and differs from all others, also in parallel test workers. */
export function uniqueName(label: string): string {
  return `vpn-test-${Deno.pid}-${randomDigits()}-${label}`;
}

/** Twelve decimal digits by chance: of four hexadecimal ones, the namespaces of one long run had the same twice. */
export function randomDigits(): string {
  const [random] = crypto.getRandomValues(new BigUint64Array(1));
  return `${random! % 10n ** 12n}`.padStart(12, "0");
}

/** A namespace of a test, its loopback on, with a netlink connection to it. */
export class TestNamespace implements AsyncDisposable {
  readonly name: string;
  readonly rtnetlink: Rtnetlink;
  readonly #processes: BackgroundProcess[] = [];

  constructor(label: string) {
    this.name = uniqueName(label);
    createNamespace(this.name);
    try {
      this.rtnetlink = inNamespace(this.name, () => Rtnetlink.open(openLibc()));
      this.rtnetlink.links.configure(LOOPBACK, { up: true });
    } catch (error) {
      deleteNamespace(this.name);
      throw error;
    }
  }

  /** Runs `call` with the thread inside, see `inNamespace()`. */
  inside<Result>(call: () => Result): Result {
    return inNamespace(this.name, call);
  }

  /** See `run()`. */
  run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.name, command, options);
  }

  /** See `output()`. */
  output(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return output(this.name, command, options);
  }

  /** See `spawn()`; the program is ended with the namespace at the latest. */
  spawn(
    command: readonly string[],
    options: { readonly env?: Record<string, string> } = {},
  ): BackgroundProcess {
    const process = spawn(this.name, command, options);
    this.#processes.push(process);
    return process;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await Promise.all(this.#processes.map((process) => process.stop()));
    } finally {
      this.rtnetlink[Symbol.dispose]();
      if (namespaceExists(this.name)) deleteNamespace(this.name);
    }
  }
}

/** One end of a cable. */
export interface CableEnd {
  readonly namespace: TestNamespace;
  /** Name of the interface, at most 15 bytes; it needs to be unique in its namespace only. */
  readonly name: string;
  /** As in `192.0.2.1/24`; none if left out. */
  readonly address?: string;
}

/** The namespaces of one test. Disposal ends the programs in them and removes them. */
export class Topology implements AsyncDisposable {
  readonly #namespaces: TestNamespace[] = [];

  /** Makes a namespace; `label` becomes part of its name. */
  namespace(label: string): TestNamespace {
    const namespace = new TestNamespace(label);
    this.#namespaces.push(namespace);
    return namespace;
  }

  /** Joins two namespaces with a veth pair, both ends up and addressed. */
  cable(one: CableEnd, other: CableEnd): void {
    using namespace = openNamespace(other.namespace.name);
    const peer = { name: other.name, namespace: namespace.fd };
    one.namespace.rtnetlink.links.createVeth(one.name, peer);
    for (const { namespace: { rtnetlink }, name, address } of [one, other]) {
      const link = rtnetlink.links.get(name).index;
      rtnetlink.links.configure(link, { up: true });
      if (address === undefined) continue;
      const { address: bytes, length } = parsePrefix(address);
      rtnetlink.addresses.add(link, { address: bytes, prefixLength: length });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const namespaces = this.#namespaces.splice(0).reverse();
    const ends = namespaces.map((namespace) => namespace[Symbol.asyncDispose]());
    const failures = (await Promise.allSettled(ends))
      .flatMap((end) => end.status === "rejected" ? [end.reason] : []);
    if (failures.length > 0) throw new AggregateError(failures, "Cannot take the topology down");
  }
}
