/** Shows what the command line of `vpn access test` means, and what is said of a wrong one. */
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { UsageError } from "../../../lib/cli/usage_error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const parse = (...argv: string[]) =>
  parseArguments(argv, { colour: false, width: 100, version: "vpn 1.2.3" });

Deno.test("parseArguments() reads which packet access is tested for", () => {
  const request = {
    peer: "laptop",
    protocol: "tcp",
    address: "10.20.1.5",
    port: 443,
    configPath: null,
    interfaceName: null,
    json: false,
  } as const;
  assertEquals(parse("access", "test", "laptop", "tcp", "10.20.1.5", "443"), {
    command: "access",
    request,
  });
  assertEquals(
    parse("access", "test", "laptop", "icmp", "FD00::1", "--config", "s.conf", "--json"),
    {
      command: "access",
      request: {
        ...request,
        protocol: "icmp",
        address: "fd00::1",
        port: null,
        configPath: "s.conf",
        json: true,
      },
    },
  );
});

for (
  const [words, problem] of [
    [["laptop"], "PROTOCOL is missing: give one of tcp, udp, icmp, gre, esp"],
    [["laptop", "tcp"], "ADDRESS is missing: give where the packet goes"],
    [["laptop", "tcp", "10.1"], "give an address, as in 10.20.1.5"],
    [["laptop", "tcp", "10.1.1.1", "0"], "a port is 1 to 65535"],
  ] as const
) {
  Deno.test(`vpn access test ${words.join(" ")}: ${problem}`, () => {
    assertThrows(() => parse("access", "test", ...words), UsageError, problem);
  });
}
