/**
 * A program of network tests that floods a server for a time: `SERVER_KEY ADDRESS PORT PER_SECOND SECONDS KIND
 * [SOURCES]`.
 *
 * The kinds: `initiations` with a right first MAC, `no-mac` without, `responses` and `cookies` and `data` to indices
 * that name nothing. SOURCES is the first of 250 addresses to send from in turn; the host takes them for its own.
 */
import { Arena } from "../../../../ffi/arena.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import { pathsTo } from "../../../../ffi/sockets/datagram_batch.ts";
import { UdpSocket } from "../../../../ffi/sockets/udp_socket.ts";
import { CookieGenerator } from "../../../../lib/core/noise/cookie.ts";
import { decodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";

/** Messages that differ. */
const VARIANTS = 64;
const SOURCES = 250;
const SIZES = { initiations: 148, "no-mac": 148, responses: 92, cookies: 64, data: 96 } as const;
const TYPES = { initiations: 1, "no-mac": 1, responses: 2, cookies: 3, data: 4 } as const;

export type FloodKind = keyof typeof SIZES;

function makeMessages(arena: Arena, publicKey: Uint8Array, kind: FloodKind): Int32Array {
  const macs = new CookieGenerator(publicKey);
  return Int32Array.from({ length: VARIANTS }, () => {
    const offset = arena.allocate(SIZES[kind]);
    const message = arena.bytes.subarray(offset, offset + SIZES[kind]);
    crypto.getRandomValues(message);
    message.set([TYPES[kind], 0, 0, 0]);
    if (kind === "initiations" || kind === "responses") macs.addMacs(message, 0);
    return offset;
  });
}

async function main(args: readonly string[]): Promise<void> {
  const [key, address, port, perSecond, seconds, kind, firstSource] = args as [
    ...string[],
  ];
  const arena = new Arena(8 * 1024 * 1024);
  const messages = makeMessages(arena, decodeKey(key!)!, kind as FloodKind);
  using socket = UdpSocket.bind(openLibc(), arena, {
    port: 0,
    mark: 0,
    offload: false,
    bufferSize: 1024 * 1024,
    batch: 64,
  });
  const most = Math.ceil(Number(perSecond) / 10);
  const first = firstSource === undefined ? 0 : parseIpv4(firstSource)!;
  const sources = first === 0 ? 1 : SOURCES;
  const to = { address: parseIpv4(address!)!, port: Number(port) };
  const batch = {
    offsets: new Int32Array(most),
    lengths: new Int32Array(most).fill(SIZES[kind as FloodKind]),
    ...pathsTo(Array.from({ length: sources }, (_, i) => ({ ...to, source: first + i }))),
    pathIds: new Int32Array(most),
  };
  const start = performance.now();
  let sent = 0;
  for (;;) {
    const elapsed = performance.now() - start;
    if (elapsed > Number(seconds) * 1000) break;
    const due = Math.min(most, Math.floor(elapsed / 1000 * Number(perSecond)) - sent);
    for (let i = 0; i < due; i++) {
      batch.offsets[i] = messages[(sent + i) % VARIANTS]!;
      batch.pathIds[i] = (sent + i) % sources;
    }
    if (due > 0) socket.send(batch, 0, due);
    sent += Math.max(0, due);
    while (socket.receive() > 0);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  // deno-lint-ignore no-console -- what it was run for
  console.log(`sent ${sent} in ${Math.round(performance.now() - start)} ms`);
}

if (import.meta.main) await main(Deno.args);
