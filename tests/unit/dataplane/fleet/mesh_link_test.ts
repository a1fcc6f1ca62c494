/** Tests of the link between gateways over the loopback interface: what a stranger sends to its port. */
import { Arena } from "../../../../ffi/arena.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import { DatagramSocket } from "../../../../ffi/sockets/datagram_socket.ts";
import { FRAME_SIZE, MeshKind, writeFrame } from "../../../../lib/core/fleet/mesh/mesh_messages.ts";
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import { builtinX25519 } from "../../../../lib/core/noise/x25519.ts";
import { EventLoop } from "../../../../lib/dataplane/event_loop.ts";
import { MeshLink } from "../../../../lib/dataplane/fleet/mesh_link.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";
import { PATIENCE } from "../../../support/time/patience.ts";

const LOOPBACK = 0x7f000001;
/** More than the buffer of any of its sockets holds. */
const FLOOD = 20_000;
const DONE = new Error("done");

/** Two gateways in one thread. */
class Site implements Disposable {
  readonly #resources = new DisposableStack();
  readonly #libc = openLibc();
  readonly #arena = new Arena(2 * MeshLink.arenaSize + 1024 * 1024);
  readonly #loop = this.#resources.use(new EventLoop(this.#libc, this.#arena));
  readonly #keys = [1, 2].map((byte) => builtinX25519.keyPair(new Uint8Array(32).fill(byte)));
  /** First bytes of the bodies that each of them has got. */
  readonly came: number[][] = [[], []];
  readonly links: readonly MeshLink[] = this.#keys.map((identity, index) =>
    this.#resources.use(
      new MeshLink(this.#libc, this.#arena, {
        loop: this.#loop,
        port: 0,
        mark: 0,
        identity,
        presharedKey: new Uint8Array(32).fill(3),
        x25519: builtinX25519,
        aead: createBuiltinAead(this.#arena),
        onMessage: (_, message) => void this.came[index]!.push(message[FRAME_SIZE]!),
        onDatagram: () => {},
      }),
    )
  );

  constructor() {
    this.links.forEach((link, index) => {
      const other = 1 - index;
      const endpoint = { address: LOOPBACK, port: this.links[other]!.port };
      link.setGateways([{ publicKey: this.#keys[other]!.public, endpoint }], this.#loop.now());
    });
  }

  /** Sends a message, with or without a session. */
  send(from: number, byte: number): void {
    const message = new Uint8Array(FRAME_SIZE + 1).fill(byte);
    writeFrame(new DataView(message.buffer), 0, MeshKind.heartbeat, 1);
    const link = this.links[from]!;
    link.send(this.#keys[1 - from]!.public, message, this.#loop.now());
    link.flush();
  }

  /** Takes turns until this is so. A loop that has been stopped does not run again: it is left instead. */
  until(isSo: () => boolean): void {
    const end = this.#loop.now() + PATIENCE;
    const poll = (now: number) => {
      for (const link of this.links) link.poll(now);
      if (isSo()) throw DONE;
      assert(now < end, "nothing came");
    };
    try {
      this.#loop.run({ pollAt: () => this.#loop.now() + 5, poll });
    } catch (reason) {
      if (reason !== DONE) throw reason;
    }
  }

  /** A stranger, who has no key, fills what is to be filled. */
  flood(gateway: number, message: Uint8Array<ArrayBuffer>): void {
    const to = { address: LOOPBACK, port: this.links[gateway]!.port };
    using stranger = DatagramSocket.connect(this.#libc, to, 0);
    const view = new DataView(message.buffer);
    for (let i = 0; i < FLOOD; i++) {
      if (message[0] === 4) view.setUint32(4, i * 0x9e3779b1 >>> 0);
      stranger.send(message);
    }
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

for (
  const [what, message] of [
    ["messages of sessions that there are not", Uint8Array.of(4, ...new Uint8Array(31))],
    ["initiations", Uint8Array.of(1, ...new Uint8Array(147))],
    ["noise", new Uint8Array(64).fill(9)],
  ] as const
) {
  hostTest(`a stranger's flood of ${what} loses nothing of what gateways tell each other`, () => {
    using site = new Site();
    site.send(0, 1);
    site.until(() => {
      if (site.came[1]!.length === 0) site.send(0, 1);
      return site.came[1]!.length > 0;
    });
    const before = site.came[1]!.length;
    site.flood(1, message);
    site.send(0, 7);
    site.until(() => site.came[1]!.length > before);
    assertEquals(site.came[1]!.at(-1), 7);
  });
}
