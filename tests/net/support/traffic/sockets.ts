/** UDP sockets that the test's own process holds inside its namespaces. */
import { Arena } from "../../../../ffi/arena.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import { UdpSocket } from "../../../../ffi/sockets/udp_socket.ts";
import { type TestNamespace } from "../../../support/net.ts";

/** Bytes of an arena that a socket and some messages fit. */
export const ARENA_SIZE: number = 4 * 1024 * 1024;

/** Opens a socket in `namespace`; port 0 takes a free one. */
export function openSocket(namespace: TestNamespace, arena: Arena, port = 0): UdpSocket {
  return namespace.inside(() =>
    UdpSocket.bind(openLibc(), arena, {
      bothFamilies: true,
      port,
      mark: 0,
      offload: false,
      bufferSize: 4 * 1024 * 1024,
      batch: 16,
    })
  );
}

/** Takes a UDP port in `namespace`; disposal frees it. */
export function occupyPort(namespace: TestNamespace, port: number): Disposable {
  return openSocket(namespace, new Arena(ARENA_SIZE), port);
}
