/** Local socket addresses: a path, or a name in the abstract namespace, to `struct sockaddr_un` (unix(7)). */
import { AF_UNIX } from "../socket_constants.ts";

/** `struct sockaddr_un { u16 sun_family; char sun_path[108]; }` */
const SUN_PATH_OFFSET = 2;
const SUN_PATH_SIZE = 108;

/**
 * The bytes of a local socket's address.
 *
 * @param name a path, or behind "@" a name in the abstract namespace
 * @throws {RangeError} for a name that no socket can have
 */
export function unixAddress(name: string): Uint8Array<ArrayBuffer> {
  const isAbstract = name.startsWith("@");
  const path = new TextEncoder().encode(name);
  // An abstract name begins with a zero byte and ends where the address does; a path ends with one.
  if (isAbstract) path[0] = 0;
  const length = path.length + (isAbstract ? 0 : 1);
  if (path.length < 2 || length > SUN_PATH_SIZE || !(isAbstract || name.startsWith("/"))) {
    throw new RangeError(
      `Cannot use ${
        JSON.stringify(name)
      } as a local socket: it is a path from the root, or a name behind "@", ` +
        `of at most ${SUN_PATH_SIZE - 1} bytes`,
    );
  }
  const address = new Uint8Array(SUN_PATH_OFFSET + length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(path, SUN_PATH_OFFSET);
  return address;
}
