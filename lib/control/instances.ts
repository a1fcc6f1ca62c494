/** Instances: finds those that run on this host, by their journals, and the one that a command means. */
import { AppError, ExitCode } from "../process/errors.ts";
import { journalDirectory } from "../process/journal_directory.ts";
import { allJournals, staleJournals } from "../host/journal/journal_files.ts";
import type { JournalOwner } from "../host/journal/journal_text.ts";
import { currentNetworkNamespace, isSameNamespace } from "../host/journal/network_namespace.ts";
import { isAlive } from "../process/process_identity.ts";

/** A server or client that runs. */
export interface Instance {
  readonly owner: JournalOwner;
  readonly interfaceName: string;
  /** Its control socket. */
  readonly path: string;
}

/**
 * All instances of this user with a control socket, by the names of their interfaces.
 *
 * @throws {AppError} with exit code 5 where the journals cannot be read
 */
export function runningInstances(): Instance[] {
  const prefix = `${journalDirectory()}/`;
  return allJournals()
    .filter(({ owner }) => isAlive(owner))
    .flatMap(({ owner, changes }) =>
      changes.flatMap((change) =>
        change.kind === "socket" && change.path.startsWith(prefix)
          ? [{ owner, interfaceName: owner.interfaceName, path: change.path }]
          : []
      )
    )
    .sort((a, b) => a.interfaceName < b.interfaceName ? -1 : 1);
}

/** Whether an instance, or what is left of one, is in the network namespace of this thread. */
export function isHere({ owner }: Pick<Instance, "owner">): boolean {
  return isSameNamespace(owner, currentNetworkNamespace());
}

/**
 * The instance that is meant where none need be named: the only one in this network namespace, or anywhere, or else
 * that of `fallback`.
 *
 * @throws {AppError} as `findInstance()` does
 */
export function findNamedOrOnly(interfaceName: string | null, fallback: string): Instance {
  if (interfaceName !== null) return findInstance(interfaceName);
  const all = runningInstances();
  const here = all.filter(isHere);
  const [only, other] = here.length > 0 ? here : all;
  return only !== undefined && other === undefined ? only : findInstance(fallback);
}

/**
 * The instance with this interface, see `instancesMeant()`.
 *
 * @throws {AppError} with exit code 3 where there is none, 2 where several are meant
 */
export function findInstance(interfaceName: string): Instance {
  const [found, other] = instancesMeant(interfaceName);
  if (found === undefined) {
    throw new AppError(
      `Cannot reach "${interfaceName}": no running server or client has that interface: ` +
        "start it, or choose another: `vpn status` lists them",
      { exitCode: ExitCode.connect },
    );
  }
  if (other !== undefined) {
    throw new AppError(
      `Cannot choose between several "${interfaceName}": they run in different network namespaces: ` +
        "run this in one of them, with `ip netns exec NAME vpn ...`",
      { exitCode: ExitCode.usage },
    );
  }
  return found;
}

/**
 * The instances that the name of an interface may mean: that of this network namespace, or else all others of that
 * name; but where one was killed here, no other is meant.
 */
export function instancesMeant(interfaceName: string): Instance[] {
  const named = runningInstances().filter((each) => each.interfaceName === interfaceName);
  const here = named.filter(isHere);
  return here.length > 0 || wasKilledHere(interfaceName) ? here : named;
}

/** Whether what is left of an instance with this interface is in this network namespace. */
function wasKilledHere(interfaceName: string): boolean {
  return staleJournals().some((left) => left.owner.interfaceName === interfaceName && isHere(left));
}
