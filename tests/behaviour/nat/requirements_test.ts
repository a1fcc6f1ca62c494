/**
 * The table of the RFCs' requirements: each is tested, or waived with the reason. A requirement's tests are those whose
 * names begin with it: `RFC 4787 REQ-1: ...`; parts of it (`REQ-3a`) count for it and may stand for themselves.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

const TESTED = "tested";

/** By RFC, by requirement or section: `TESTED`, or why it is waived. */
const REQUIREMENTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "RFC 4787": {
    "REQ-1": TESTED,
    "REQ-2": "pairing of pooled addresses: there is one external address, so no pool",
    "REQ-3": TESTED,
    "REQ-3a": TESTED,
    "REQ-4": TESTED,
    "REQ-5": TESTED,
    "REQ-5a": TESTED,
    "REQ-6": TESTED,
    "REQ-7":
      "networks that conflict: the tunnel's network is configured, and the gateway's others are " +
      "refused by the router (tests of lib/core/routing/router.ts)",
    "REQ-8": TESTED,
    "REQ-9": TESTED,
    "REQ-10": "ALGs: there are none",
    "REQ-11": TESTED,
    "REQ-12": TESTED,
    "REQ-13": TESTED,
    "REQ-13a": TESTED,
    "REQ-14": TESTED,
    "REQ-14a": TESTED,
  },
  "RFC 5382": {
    "REQ-1": TESTED,
    "REQ-2": TESTED,
    "REQ-2a": TESTED,
    "REQ-3": TESTED,
    "REQ-4": TESTED,
    "REQ-5": TESTED,
    "REQ-6": "ALGs: there are none",
    "REQ-7": TESTED,
    "REQ-8": TESTED,
    "REQ-9": TESTED,
    "REQ-10": TESTED,
  },
  "RFC 5508": {
    "REQ-1": TESTED,
    "REQ-1a": TESTED,
    "REQ-2": TESTED,
    "REQ-3": TESTED,
    "REQ-3a": TESTED,
    "REQ-3b": TESTED,
    "REQ-3c": TESTED,
    "REQ-3d": TESTED,
    "REQ-4": TESTED,
    "REQ-5": TESTED,
    "REQ-5c": TESTED,
    "REQ-6": TESTED,
    "REQ-7": TESTED,
    "REQ-8": TESTED,
    "REQ-9":
      "a policy against ICMP towards an interface is optional; there is none but the rate limit",
    "REQ-10": TESTED,
    "REQ-11": TESTED,
  },
  "RFC 7857": {
    "section 2": TESTED,
    "section 2.1":
      "separate time-outs for opening and closing: both are 240 s, neither is configurable",
    "section 2.2": TESTED,
    "section 3": TESTED,
    "section 4": "pairing of pooled addresses: there is one external address, so no pool",
    "section 5": TESTED,
    "section 6": TESTED,
    "section 7": TESTED,
    "section 7.1": TESTED,
    "section 8": "turning parity off is optional: it is preserved (RFC 4787 REQ-4)",
    "section 9": TESTED,
    "section 10": TESTED,
    "section 11": TESTED,
    "section 12": TESTED,
  },
  "RFC 6888": {
    "REQ-1":
      "asks for the requirements of RFCs 4787, 5382 and 5508, above; other protocols are dropped",
    "REQ-2": "pairing of pooled addresses: there is one external address, so no pool",
    "REQ-3": "shape of the address pool: there is none",
    "REQ-4": TESTED,
    "REQ-5": TESTED,
    "REQ-6":
      "destinations without translation: a gateway between networks routes them, this one has none",
    "REQ-7": "asks for endpoint-independent filtering, RFC 4787 REQ-8",
    "REQ-8": TESTED,
    "REQ-9": "PCP: clients cannot make mappings themselves; the administrator can (`Forward =`)",
    "REQ-10": "a MIB: status and metrics have the counts instead",
    "REQ-11": TESTED,
    "REQ-12": "destinations are not to be logged: no log line of the NAT has an address",
    "REQ-13": TESTED,
    "REQ-14": "size of a log of mappings: none is written",
    "REQ-15": TESTED,
  },
  // Of IPv6. RFC 7915 asks for nothing: no packet goes from one family to the other.
  "RFC 8200": {
    "section 3": TESTED,
    "section 4": TESTED,
    "section 4.1": "an order of headers is asked of who sends them",
    "section 4.2": "options are for the destination; hop-by-hop ones do not pass",
    "section 4.3":
      "hop-by-hop options: what has any is dropped before the NAT (tests of lib/core/wire/ipv6.ts)",
    "section 4.4": TESTED,
    "section 4.5": TESTED,
    "section 4.6": "destination options are not looked at: section 4",
    "section 4.7": TESTED,
    "section 4.8": "new headers are asked not to be invented",
    "section 5": TESTED,
    "section 6": TESTED,
    "section 7": TESTED,
    "section 8.1": TESTED,
    "section 8.2": "nobody has to bound a packet's lifetime",
    "section 8.3": TESTED,
    "section 8.4": "answers by a reversed routing header: the gateway sends none",
  },
  "RFC 4443": {
    "section 2.1": "lists the types",
    "section 2.2": TESTED,
    "section 2.3": TESTED,
    "section 2.4a": TESTED,
    "section 2.4b": TESTED,
    "section 2.4c": TESTED,
    "section 2.4d": TESTED,
    "section 2.4e": TESTED,
    "section 2.4f": TESTED,
    "section 3.1": TESTED,
    "section 3.2": TESTED,
    "section 3.3": TESTED,
    "section 3.4": "parameter problem: who sends broken packets is not told, as by IPv4",
    "section 4.1": TESTED,
    "section 4.2": TESTED,
    "section 5.1": "authentication: IPsec's, which no NAT can check",
    "section 5.2": TESTED,
  },
};

/** Where the tests are, and those of IPv6. */
const FOLDERS = [".", "./ipv6/"] as const;

/** The names of the tests that say which requirement they are for. */
async function testNames(): Promise<string[]> {
  const names: string[] = [];
  for (const folder of FOLDERS.map((path) => new URL(path, import.meta.url))) {
    for await (const { name } of Deno.readDir(folder)) {
      if (!/^rfc\d+_test\.ts$/.test(name)) continue;
      const source = await Deno.readTextFile(new URL(name, folder));
      for (const [, test] of source.matchAll(/Deno\.test\(\s*[`"](.*?)[`"],/g)) names.push(test);
    }
  }
  return names;
}

hostTest("every requirement that is not waived has a test of its name", async () => {
  const names = await testNames();
  for (const [rfc, requirements] of Object.entries(REQUIREMENTS)) {
    for (const [requirement, status] of Object.entries(requirements)) {
      const count = names.filter((name) => name.startsWith(`${rfc} ${requirement}:`)).length;
      assertEquals(count > 0, status === TESTED, `${rfc} ${requirement}: ${count} tests`);
    }
  }
});

hostTest("every test that names a requirement names one of the table", async () => {
  const names = await testNames();
  assert(names.length > 70, `only ${names.length} tests were found`);
  for (const name of names) {
    const [, rfc, requirement] = /^(RFC \d+) ([^:]+):/.exec(name) ?? [];
    assert(REQUIREMENTS[rfc]?.[requirement] === TESTED, `"${name}" is not in the table`);
  }
});

Deno.test("the table leaves no requirement out", () => {
  const counts = { "RFC 4787": 14, "RFC 5382": 10, "RFC 5508": 11, "RFC 6888": 15 };
  for (const [rfc, count] of Object.entries(counts)) {
    for (let number = 1; number <= count; number++) {
      assert(REQUIREMENTS[rfc][`REQ-${number}`] !== undefined, `${rfc} REQ-${number}`);
    }
  }
  for (let section = 2; section <= 12; section++) {
    assert(REQUIREMENTS["RFC 7857"][`section ${section}`] !== undefined, `section ${section}`);
  }
  const sections = [
    ["RFC 8200", "4", 8],
    ["RFC 8200", "8", 4],
    ["RFC 4443", "2", 3],
    ["RFC 4443", "3", 4],
    ["RFC 4443", "4", 2],
  ] as const;
  for (const [rfc, section, count] of sections) {
    for (let number = 1; number <= count; number++) {
      assert(
        REQUIREMENTS[rfc][`section ${section}.${number}`] !== undefined,
        `${section}.${number}`,
      );
    }
  }
});
