/** Names of ports and routing tables as hosts have them. */
import { parseRtTables, parseServices } from "../../../../../lib/core/config/values/name_tables.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("parseServices() knows each service by its names, UDP's port before TCP's", () => {
  const services = parseServices(`# Network services
tcpmux\t\t1/tcp\t\t\t\t# TCP port service multiplexer
https\t\t443/tcp
https\t\t443/udp\t\t\t\t# HTTP/3
syslog\t\t514/udp
shell\t\t514/tcp\t\tcmd syslog\t# no passwords used
rtmp\t\t1/ddp\t\t\t# Routing Table Maintenance Protocol
zero\t\t0/udp
big\t\t65536/udp
half
two 7/tcp
two 8/udp
two 9/udp
`);
  assertEquals(
    [...services],
    [["tcpmux", 1], ["https", 443], ["syslog", 514], ["shell", 514], ["cmd", 514], ["two", 8]],
  );
});

Deno.test("parseRtTables() knows each table by its name, the last line of two", () => {
  const tables = parseRtTables(`#
# reserved values
#
255\tlocal
254 main # the usual one
0\tunspec
0x64 uplink
 200 vpn
201 vpn
x y
`);
  assertEquals([...tables], [["local", 255], ["main", 254], ["uplink", 100], ["vpn", 201]]);
});
