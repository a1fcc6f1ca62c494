/** Tests of lib/core/config/values/access_rules.ts: the values of `Allow` and `Deny`. */
import {
  formatAccessRules,
  parseAccessRules,
} from "../../../../../lib/core/config/values/access_rules.ts";
import { BadValueError } from "../../../../../lib/core/config/config_error.ts";
import { assertEquals, assertThrows } from "../../../../support/assert.ts";

function parse(value: string) {
  return parseAccessRules({ fileName: "server.conf", line: 7, key: "Allow", value });
}

for (
  const [text, canonical = text] of [
    ["internet"],
    ["any"],
    ["10.20.0.0/16 tcp/443 tcp/8443"],
    ["internet, lan, gateway, peers"],
    ["10.20.1.5/16", "10.20.0.0/16"],
    ["10.20.1.5", "10.20.1.5"],
    ["10.20.1.5/32", "10.20.1.5"],
    ["peer:printer udp/631"],
    ['peer:"Anna, home" icmp, peer:"a b"'],
    ["PEER:printer  TCP/1-9 ,, Internet", "peer:printer tcp/1-9, internet"],
    ["@staff, group:guests", "group:staff, group:guests"],
    ["icmp"],
    ["2001:DB8::1/32 tcp/22", "2001:db8::/32 tcp/22"],
    ["fd00::2/128, fd00::3", "fd00::2, fd00::3"],
    ["tcp/443 udp/443"],
    ["tcp/5-5", "tcp/5"],
    ["gre, esp, tcp, udp"],
    ["any tcp/25", "tcp/25"],
    [
      "Git.Example.org. tcp/22, xn--bcher-kva.example",
      "git.example.org tcp/22, xn--bcher-kva.example",
    ],
  ] as const
) {
  Deno.test(`rules are read as they are written: ${text}`, () => {
    assertEquals(formatAccessRules(parse(text)), canonical);
    assertEquals(parse(canonical), parse(text));
  });
}

for (
  const [text, problem] of [
    [
      "",
      'cannot use "": it has no rule: remove the line where there is to be none; Deny = any denies all',
    ],
    [
      " , ",
      'cannot use " , ": it has no rule: remove the line where there is to be none; Deny = any denies all',
    ],
    [
      "nowhere",
      'cannot use "nowhere": a rule is a target, a service or both, as in internet, ' +
      "10.20.0.0/16 tcp/443 tcp/8443, git.example.org tcp/22, peer:NAME udp/631, group:NAME, lan, gateway, " +
      "peers or icmp",
    ],
    [
      "10.20.0.256 tcp/22",
      'cannot use "10.20.0.256": a rule is a target, a service or both, as in internet, ' +
      "10.20.0.0/16 tcp/443 tcp/8443, git.example.org tcp/22, peer:NAME udp/631, group:NAME, lan, gateway, " +
      "peers or icmp",
    ],
    [
      "git..example.org tcp/22",
      'cannot use "git..example.org": a rule is a target, a service or both, as in internet, ' +
      "10.20.0.0/16 tcp/443 tcp/8443, git.example.org tcp/22, peer:NAME udp/631, group:NAME, lan, gateway, " +
      "peers or icmp",
    ],
    [
      "lan http",
      'cannot use "http": a service is tcp, udp, tcp/443, udp/1000-2000, icmp, gre or esp',
    ],
    [
      "lan tcp/9-1",
      'cannot use "tcp/9-1": a service is tcp, udp, tcp/443, udp/1000-2000, icmp, gre or esp',
    ],
    [
      "icmp/8",
      'cannot use "icmp/8": a service is tcp, udp, tcp/443, udp/1000-2000, icmp, gre or esp',
    ],
    ["peer:", 'cannot use "peer:": this is no peer\'s name'],
    ["@a/b", 'cannot use "@a/b": this is no group\'s name'],
  ] as const
) {
  Deno.test(`what is no rule is refused in one line: ${text}`, () => {
    const error = assertThrows(() => parse(text), BadValueError);
    assertEquals(error.message, `server.conf:7: Allow: ${problem}`);
  });
}

Deno.test("a port may have the name of a service of the host's", () => {
  const names = {
    service: (name: string) => name === "ipp" ? 631 : undefined,
    table: () => undefined,
  };
  const entry = { fileName: "server.conf", line: 7, key: "Allow", value: "tcp/ipp", names };
  assertEquals(formatAccessRules(parseAccessRules(entry)), "tcp/631");
});
