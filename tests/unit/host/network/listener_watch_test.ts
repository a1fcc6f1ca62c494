/** Tests that a listener that was out of descriptors once is heard again. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { openLibc } from "../../../../ffi/libc.ts";
import { hasWaiting, listeningSocket } from "../../../../ffi/sockets/listening_socket.ts";
import { ListenerWatch, watchPort } from "../../../../lib/host/network/listener_watch.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { DescriptorShortage } from "../../../support/descriptor_shortage.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";
import { eventually } from "../../../support/time/patience.ts";

const LIBC = whereAllowed(openLibc);

type Place = { readonly path: string } | { readonly port: number; readonly host: string };

interface Site extends AsyncDisposable {
  readonly server: Server;
  readonly place: Place;
  readonly clients: Socket[];
  accepted: number;
}

async function open(path: string | null): Promise<Site> {
  const clients: Socket[] = [];
  const ends: Socket[] = [];
  const server = createServer((socket) => {
    site.accepted++;
    ends.push(socket);
    socket.on("error", () => {});
  });
  const at = path === null ? { port: 0, host: "127.0.0.1" } : { path };
  await new Promise<void>((resolve) => server.listen(at, resolve));
  const address = server.address();
  const place: Place = path === null && typeof address === "object" && address !== null
    ? { port: address.port, host: "127.0.0.1" }
    : { path: path! };
  const site: Site = {
    server,
    place,
    clients,
    accepted: 0,
    [Symbol.asyncDispose]: async () => {
      for (const each of [...clients, ...ends]) each.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return site;
}

async function connected({ place, clients }: Site): Promise<void> {
  const client = connect(place);
  client.on("error", () => {});
  clients.push(client);
  await new Promise<void>((resolve) => client.once("connect", () => resolve()));
}

/** Until it accepts nothing of what the kernel has for it, though there are descriptors again. */
async function deafen(site: Site, fd: number): Promise<void> {
  await eventually(async () => {
    const before = site.accepted;
    {
      using _shortage = new DescriptorShortage(LIBC, 1);
      await connected(site);
      // As the runtime tries in vain; how soon is its own affair, so it is tried until it has.
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    return site.accepted === before && hasWaiting(LIBC, fd) || null;
  }, { what: "the listener to be deaf" });
}

hostTest(
  "a TCP listener that was out of descriptors is heard again, and keeps its connections",
  async () => {
    await using site = await open(null);
    using watch = watchPort(site.server, "127.0.0.1");
    assert("port" in site.place);
    const fd = listeningSocket(LIBC, site.place.port)!;
    await connected(site);
    await eventually(() => site.accepted === 1 || null);
    const [kept] = site.clients;
    watch.look();
    await deafen(site, fd);
    const before = site.accepted;
    watch.look();
    watch.look();
    await eventually(async () => {
      await connected(site);
      return site.accepted > before || null;
    });
    assertEquals(kept!.destroyed, false);
  },
);

hostTest("the same of a local socket's; a busy one is left alone", async () => {
  const folder = temporaryFolder();
  const path = `${folder}/s`;
  await using site = await open(path);
  let isAgain = 0;
  using watch = new ListenerWatch(site.server, () => {
    isAgain++;
    site.server.close();
    site.server.listen(path);
  });
  for (let look = 0; look < 3; look++) {
    await connected(site);
    watch.look();
  }
  assertEquals(isAgain, 0);
  const fd = listeningSocket(LIBC, path)!;
  await deafen(site, fd);
  {
    using _shortage = new DescriptorShortage(LIBC, 0);
    watch.look();
    watch.look();
    assertEquals(isAgain, 0, "it would be deaf again at once");
  }
  watch.look();
  assertEquals(isAgain, 1);
  const before = site.accepted;
  await connected(site);
  await eventually(() => site.accepted > before || null);
});
