/** Tests of the link between gateways over the loopback interface: what a stranger sends to its port. */
import { Arena } from "../../../../ffi/arena.ts";
import { EAGAIN } from "../../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../../ffi/libc.ts";
import { DatagramSocket } from "../../../../ffi/sockets/datagram_socket.ts";
import { FRAME_SIZE, MeshKind, writeFrame } from "../../../../lib/core/fleet/mesh/mesh_messages.ts";
import { Paths } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
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
/** The same. Where long ones find no room, a short one may: these are as long as what gateways tell each other. */
const PACKETS = 5_000;
const SHORT = 20;
const MTU = 1_420;
const DONE = new Error("done");

/** Two gateways in one thread. */
class Site implements Disposable {
  readonly #resources = new DisposableStack();
  readonly #real = openLibc();
  readonly #libc: Libc = {
    symbols: {
      ...this.#real.symbols,
      sendmmsg: (...args) => this.isFull ? -1 : this.#real.symbols.sendmmsg(...args),
    },
    errno: () => this.isFull ? EAGAIN : this.#real.errno(),
  };
  /** Whether the kernel takes nothing that is sent. */
  isFull = false;
  readonly #arena = new Arena(2 * MeshLink.arenaSize(MTU) + 1024 * 1024);
  readonly #packetAt = this.#arena.allocate(2 * MTU);
  readonly #loop = this.#resources.use(new EventLoop(this.#libc, this.#arena));
  readonly #keys = [1, 2].map((byte) => builtinX25519.keyPair(new Uint8Array(32).fill(byte)));
  /** First bytes of the bodies that each of them has got. */
  readonly came: number[][] = [[], []];
  readonly packets: Uint8Array[][] = [[], []];
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
        mtu: MTU,
        onPacket: (_, { offset, length }) =>
          void this.packets[index]!.push(this.#arena.bytes.slice(offset, offset + length)),
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

  /** Hands over a packet of so many bytes, each of which is that, of a client; false where there is no room. */
  handPacket(from: number, size: number, client = 0): boolean {
    const link = this.links[from]!;
    const at = this.#packetAt;
    this.#arena.bytes.fill(size, at, at + size);
    const gateway = link.gateway(this.#keys[1 - from]!.public)!;
    return link.handPacket(
      gateway,
      { offset: at, length: size, isAnswer: false },
      client,
      this.#loop.now(),
    );
  }

  /** Hands over a datagram that came from somewhere; false where there is no room. */
  handOver(from: number, size: number): boolean {
    const link = this.links[from]!;
    const gateway = link.gateway(this.#keys[1 - from]!.public)!;
    const paths = new Paths({ holders: 1, unheld: 1 });
    const path = paths.intern(LOOPBACK, 9, 0, Transport.udp);
    return link.handOver(gateway, this.#packetAt, size, paths, path, this.#loop.now());
  }

  /** Waits for a session. */
  meet(): void {
    this.send(0, 1);
    this.until(() => {
      if (this.came[1]!.length === 0) this.send(0, 1);
      return this.came[1]!.length > 0;
    });
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

hostTest(
  "a packet for a client is handed over, up to the longest, and one that is longer is not",
  () => {
    using site = new Site();
    site.meet();
    const sizes = [20, 1_000, MTU];
    for (const size of sizes) assert(site.handPacket(0, size));
    assert(!site.handPacket(0, MTU + 1));
    site.until(() => site.packets[1]!.length === sizes.length);
    assertEquals(site.packets[1], sizes.map((size) => new Uint8Array(size).fill(size)));
  },
);

hostTest(
  "packets for clients, of which the kernel takes no more, leave room for what gateways tell each other",
  () => {
    using site = new Site();
    site.meet();
    const before = site.came[1]!.length;
    site.isFull = true;
    let handed = 0;
    while (handed < FLOOD && site.handPacket(0, MTU)) handed++;
    assert(handed > 0 && handed < FLOOD);
    for (let byte = 2; byte < 7; byte++) site.send(0, byte);
    site.isFull = false;
    site.until(() => site.came[1]!.length === before + 5);
    assertEquals(site.came[1]!.slice(before), [2, 3, 4, 5, 6]);
  },
);

for (
  const [what, flood] of [
    ["packets for clients", (site: Site) => site.handPacket(0, SHORT)],
    ["datagrams that came to the wrong gateway", (site: Site) => site.handOver(0, SHORT)],
  ] as const
) {
  hostTest(`more ${what} than a socket holds lose nothing of what gateways tell each other`, () => {
    using site = new Site();
    site.meet();
    const before = site.came[1]!.length;
    site.send(0, 6);
    for (let i = 0; i < PACKETS; i++) assert(flood(site));
    site.send(0, 7);
    site.until(() => site.came[1]!.length === before + 2);
    assertEquals(site.came[1]!.slice(before), [6, 7]);
  });
}

hostTest("more packets of one client than a socket holds lose none of another client's", () => {
  using site = new Site();
  site.meet();
  for (let i = 0; i < PACKETS; i++) assert(site.handPacket(0, SHORT, 1));
  assert(site.handPacket(0, 100, 2));
  site.links[0]!.flush();
  site.until(() => site.packets[1]!.some(({ length }) => length === 100));
});

hostTest(
  "packets of one client, of which the kernel takes no more, leave room for another's",
  () => {
    using site = new Site();
    site.meet();
    site.isFull = true;
    let handed = 0;
    while (handed < FLOOD && site.handPacket(0, MTU, 1)) handed++;
    assert(handed > 0 && handed < FLOOD);
    assert(site.handPacket(0, 100, 2));
    site.isFull = false;
    site.until(() => site.packets[1]!.length === handed + 1);
  },
);

for (
  const [what, message] of [
    ["messages of sessions that there are not", Uint8Array.of(4, ...new Uint8Array(31))],
    ["initiations", Uint8Array.of(1, ...new Uint8Array(147))],
    ["noise", new Uint8Array(64).fill(9)],
  ] as const
) {
  hostTest(`a stranger's flood of ${what} loses nothing of what gateways tell each other`, () => {
    using site = new Site();
    site.meet();
    const before = site.came[1]!.length;
    site.flood(1, message);
    site.send(0, 7);
    site.until(() => site.came[1]!.length > before);
    assertEquals(site.came[1]!.at(-1), 7);
  });
}
