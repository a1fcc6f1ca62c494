/** Tests that a listening socket of this process is found, and that connections which wait in it are seen. */
import { openLibc } from "../../../../ffi/libc.ts";
import { hasWaiting, listeningSocket } from "../../../../ffi/sockets/listening_socket.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

hostTest(
  "a listening socket is found by its port or path, and says whether connections wait",
  async () => {
    const libc = openLibc();
    const folder = temporaryFolder();
    const path = `${folder}/s`;
    {
      using tcp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      using local = Deno.listen({ transport: "unix", path });
      const { port } = tcp.addr;
      const places = [[port, tcp], [path, local]] as const;
      for (const [place, listener] of places) {
        const fd = listeningSocket(libc, place);
        assert(fd !== null, `nothing listens at ${place}`);
        assertEquals(hasWaiting(libc, fd), false);
        using _client = await (typeof place === "number"
          ? Deno.connect({ hostname: "127.0.0.1", port: place })
          : Deno.connect({ transport: "unix", path: place }));
        assertEquals(hasWaiting(libc, fd), true);
        (await listener.accept()).close();
        assertEquals(hasWaiting(libc, fd), false);
      }
      assertEquals(listeningSocket(libc, `${path}2`), null);
    }
  },
);
