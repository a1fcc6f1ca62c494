/** Tests of lib/core/transport/path_record.ts: a path is the same in another thread's table. */
import {
  PATH_RECORD_SIZE,
  readPathRecord,
  writePathRecord,
} from "../../../../lib/core/transport/path_record.ts";
import { NO_PATH, Paths } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { assertEquals } from "../../../support/assert.ts";

/** The path in a table that numbers others first, as read from the record. */
function told(paths: Paths, path: number): { there: Paths; number: number } {
  const record = new Uint8Array(new SharedArrayBuffer(PATH_RECORD_SIZE + 8));
  writePathRecord(record, 8, paths, path);
  const there = new Paths({ holders: 4, unheld: 4 });
  there.intern(1, 1, 0, Transport.udp);
  return { there, number: readPathRecord(new DataView(record.buffer), 8, there) };
}

Deno.test("a path of IPv4 keeps its end, our own address and its transport", () => {
  const paths = new Paths({ holders: 4, unheld: 4 });
  const path = paths.intern(0xc0000207, 40_000, 0xc6336401, Transport.fakeTcp);
  const { there, number } = told(paths, path);
  assertEquals(there.socketAddress(number), { address: 0xc0000207, port: 40_000 });
  assertEquals(there.sourceDigest(number), paths.sourceDigest(path));
  assertEquals(there.transport(number), Transport.fakeTcp);
});

Deno.test("a path of IPv6 does, too", () => {
  const paths = new Paths({ holders: 4, unheld: 4 });
  const path = paths.internEnd({ address: "2001:db8::7", port: 51_820 }, Transport.udp);
  const { there, number } = told(paths, path);
  assertEquals(there.socketAddress(number), { address: "2001:db8::7", port: 51_820 });
});

Deno.test("no path is none there", () => {
  assertEquals(told(new Paths({ holders: 4, unheld: 4 }), NO_PATH).number, NO_PATH);
});
