/**
 * Named network namespaces, in the form that `ip netns` uses: a namespace lives while a file under `/run/netns` has its
 * `nsfs` entry mounted on it, so each tool sees what the other made.
 *
 * A namespace is a property of the thread, not of the process. What a thread makes while it is inside one
 * (sockets, child processes, threads and thus Workers) belongs to it for good and stays in it when the thread
 * has left.
 */
import { check, EINVAL, ENOENT, EPERM, ESRCH, SystemCallError } from "./errno.ts";
import { AT_FDCWD, identityIn, O_CLOEXEC, STATX_SIZE } from "./file_constants.ts";
import { cString, type Libc, openLibc } from "./libc.ts";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET } from "./socket_constants.ts";

const DIRECTORY = "/run/netns";
/** The namespace of the calling thread; `/proc/self` would be that of the process's first thread. */
const CURRENT = "/proc/thread-self/ns/net";

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000n;
const MS_REC = 0x4000n;
const MS_SHARED = 0x100000n;
const MNT_DETACH = 2;
const SO_NETNS_COOKIE = 71;
const ENOPROTOOPT = 92;
const STATX_INO = 0x100;

/** A namespace held open: it lives at least as long as this does, whatever becomes of its name. */
export interface OpenNamespace extends Disposable {
  /** For `LinkSettings.namespace` and the like. */
  readonly fd: number;
}

/**
 * Makes a namespace with the given name, as `ip netns add` does. Its loopback interface is switched off.
 *
 * @throws {SystemCallError} EPERM without CAP_SYS_ADMIN
 * @throws {Error} when the name is taken or cannot be one
 */
export function createNamespace(name: string): void {
  const path = pathOf(name, "create");
  const libc = openLibc();
  prepareDirectory(libc);
  try {
    Deno.openSync(path, { write: true, createNew: true, mode: 0 }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    throw new Error(
      `Cannot create network namespace "${name}": the name is taken; see \`ip netns list\``,
    );
  }
  try {
    const leave = () => {
      const result = libc.symbols.unshare(CLONE_NEWNET);
      checkPrivilege(libc, result, `create network namespace "${name}"`);
    };
    abroad(libc, leave, () => mount(libc, { source: CURRENT, target: path, flags: MS_BIND }));
  } catch (error) {
    deleteNamespace(name);
    throw error;
  }
}

/**
 * Takes the name away. The namespace itself ends when nothing uses it any more.
 *
 * @throws {Error} where there is no such name
 */
export function deleteNamespace(name: string): void {
  const path = pathOf(name, "delete");
  // Fails where nothing is mounted, as after a crash between two steps of the creation; the file goes all the same.
  openLibc().symbols.umount2(cString(path), MNT_DETACH);
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw missing("delete", name);
    throw error;
  }
}

/** Whether there is a namespace with this name. */
export function namespaceExists(name: string): boolean {
  return listNamespaces().includes(name);
}

/** The names of all namespaces, sorted. */
export function listNamespaces(): string[] {
  try {
    return Array.from(Deno.readDirSync(DIRECTORY), (entry) => entry.name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/**
 * Opens a namespace by name.
 *
 * @throws {Error} where there is no such name
 */
export function openNamespace(name: string): OpenNamespace {
  return openNamed(openLibc(), name, "open");
}

/** Opens the namespace that the thread is in. */
export function openCurrentNamespace(): OpenNamespace {
  const libc = openLibc();
  return held(libc, check(libc, libc.symbols.open(cString(CURRENT), O_CLOEXEC), `open ${CURRENT}`));
}

/**
 * Moves the thread into a namespace, for good.
 *
 * @throws {SystemCallError} EPERM without CAP_SYS_ADMIN
 * @throws {Error} where there is no such name
 */
export function enterNamespace(name: string): void {
  const libc = openLibc();
  using namespace = openNamed(libc, name, "enter");
  enter(libc, namespace.fd, `enter network namespace "${name}"`);
}

/**
 * Runs `call` with the thread inside a namespace; it is back in its own when this returns or throws. What `call`
 * starts inside, and it alone, belongs to the namespace: a process by `new Deno.Command(...).spawn()`, a
 * listener by `Deno.listen()`; but nothing behind an `await`.
 *
 * @throws {SystemCallError} EPERM without CAP_SYS_ADMIN
 * @throws {Error} where there is no such name
 */
export function inNamespace<Result>(name: string, call: () => Result): Result {
  return abroad(openLibc(), () => enterNamespace(name), call);
}

/** Whether the thread is in the namespace with this name; false where there is no such name. */
export function currentNamespaceIs(name: string): boolean {
  const libc = openLibc();
  const named = identityOf(libc, pathOf(name, "inspect"));
  return named !== null && named === identityOf(libc, CURRENT);
}

/** A number that no other namespace has, or had, since the machine was started; null before Linux 5.14. */
export function namespaceCookie(): bigint | null {
  const libc = openLibc();
  const { symbols } = libc;
  const fd = check(libc, symbols.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "open a socket");
  try {
    const value = new BigUint64Array(1);
    const length = Uint32Array.of(value.byteLength);
    const result = symbols.getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, value, length);
    if (result < 0 && libc.errno() === ENOPROTOOPT) return null;
    check(libc, result, "ask for the network namespace's cookie");
    return value[0]!;
  } finally {
    symbols.close(fd);
  }
}

/**
 * The cookie of the namespace behind a file, as `/proc/PID/ns/net` or a name's; null where there is no such file (any
 * more), and before Linux 5.14.
 *
 * @throws {SystemCallError} EPERM without CAP_SYS_ADMIN
 */
export function namespaceCookieAt(path: string): bigint | null {
  const libc = openLibc();
  const fd = libc.symbols.open(cString(path), O_CLOEXEC);
  if (fd < 0 && [ENOENT, ESRCH].includes(libc.errno())) return null;
  const action = `open ${path}`;
  using namespace = held(libc, check(libc, fd, action));
  return abroad(libc, () => enter(libc, namespace.fd, action), namespaceCookie);
}

/** Runs `call` after `leave` has taken the thread to another namespace, and brings the thread back. */
function abroad<Result>(libc: Libc, leave: () => void, call: () => Result): Result {
  using home = openCurrentNamespace();
  leave();
  try {
    return call();
  } finally {
    enter(libc, home.fd, "return to the previous network namespace");
  }
}

function enter(libc: Libc, fd: number, action: string): void {
  const result = libc.symbols.setns(fd, CLONE_NEWNET);
  if (result < 0 && libc.errno() === EINVAL) {
    throw new Error(`Cannot ${action}: nothing is mounted on its file; delete and create it again`);
  }
  checkPrivilege(libc, result, action);
}

/**
 * Makes the directory a shared mount, so that a namespace mounted in it by any process appears in the mount namespaces
 * of all others and, above all, is unmounted in all of them. The lock is the one that `ip netns` takes.
 */
function prepareDirectory(libc: Libc): void {
  try {
    Deno.mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw new SystemCallError(`create ${DIRECTORY}`, EPERM);
  }
  using directory = Deno.openSync(DIRECTORY);
  directory.lockSync(true);
  const shared = { target: DIRECTORY, flags: MS_SHARED | MS_REC };
  if (tryMount(libc, { source: "", ...shared })) return;
  if (libc.errno() === EINVAL) {
    // Not a mount point yet: only a mount can be shared, so the directory is mounted on itself.
    mount(libc, { source: DIRECTORY, target: DIRECTORY, flags: MS_BIND | MS_REC });
  }
  mount(libc, { source: "", ...shared });
}

interface Mount {
  readonly source: string;
  readonly target: string;
  readonly flags: bigint;
}

function tryMount(libc: Libc, { source, target, flags }: Mount): boolean {
  const result = libc.symbols.mount(cString(source), cString(target), cString("none"), flags, null);
  return result === 0;
}

function mount(libc: Libc, what: Mount): void {
  checkPrivilege(libc, tryMount(libc, what) ? 0 : -1, `mount ${what.target}`);
}

/** `check()`, with what to do about EPERM. */
function checkPrivilege(libc: Libc, result: number, action: string): void {
  if (result >= 0) return;
  const errno = libc.errno();
  const error = new SystemCallError(action, errno);
  if (errno === EPERM) error.message += "; it requires CAP_SYS_ADMIN (root has it)";
  throw error;
}

/** What tells the namespace behind a file from all others: device and inode; null where there is no such file. */
function identityOf(libc: Libc, path: string): string | null {
  const status = new Uint8Array(STATX_SIZE);
  const result = libc.symbols.statx(AT_FDCWD, cString(path), 0, STATX_INO, status);
  if (result < 0 && libc.errno() === ENOENT) return null;
  check(libc, result, `inspect ${path}`);
  return identityIn(status);
}

function held(libc: Libc, fd: number): OpenNamespace {
  return {
    fd,
    [Symbol.dispose](): void {
      libc.symbols.close(fd);
    },
  };
}

function openNamed(libc: Libc, name: string, action: string): OpenNamespace {
  const fd = libc.symbols.open(cString(pathOf(name, action)), O_CLOEXEC);
  if (fd < 0 && libc.errno() === ENOENT) throw missing(action, name);
  return held(libc, check(libc, fd, `${action} network namespace "${name}"`));
}

function missing(action: string, name: string): Error {
  return new Error(
    `Cannot ${action} network namespace "${name}": no such file ${DIRECTORY}/${name}; ` +
      `create it with \`ip netns add ${name}\``,
  );
}

function pathOf(name: string, action: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw new Error(
      `Cannot ${action} network namespace "${name}": a name must be a plain file name`,
    );
  }
  return `${DIRECTORY}/${name}`;
}
