/** Tests of `lib/commands/doctor/report.ts`: what people read, and the JSON, whose form is stable. */
import { assert, assertEquals } from "../../../support/assert.ts";
import { fail, type Finding, ok, warn } from "../../../../lib/commands/doctor/check.ts";
import { formatJson, formatReport, hasFailed } from "../../../../lib/commands/doctor/report.ts";

const FINDINGS: readonly Finding[] = [
  { name: "clock", ...ok("it is noon") },
  { name: "tun-device", ...fail("it does not exist", "`modprobe tun`") },
  { name: "dns", ...warn("it leaks", "DNS = 10.66.77.1") },
];

Deno.test("formatReport() aligns names and reasons, and puts remedies below them", () => {
  assertEquals(
    formatReport(FINDINGS, false),
    "ok    clock       it is noon\n" +
      "fail  tun-device  it does not exist\n" +
      "                  fix: `modprobe tun`\n" +
      "warn  dns         it leaks\n" +
      "                  fix: DNS = 10.66.77.1\n" +
      "1 ok, 1 warn, 1 fail\n",
  );
});

Deno.test("formatReport() colours nothing but the status and the label, so that columns stay", () => {
  const coloured = formatReport(FINDINGS, true);
  for (const code of ["32mok", "33mwarn", "31mfail", "1mfix:"]) {
    assert(coloured.includes(`\x1b[${code}\x1b[0m`), code);
  }
  // deno-lint-ignore no-control-regex -- the sequences begin with one
  assertEquals(coloured.replaceAll(/\x1b\[\d+m/g, ""), formatReport(FINDINGS, false));
});

Deno.test("formatReport() of nothing is the counts", () => {
  assertEquals(formatReport([], false), "0 ok, 0 warn, 0 fail\n");
});

Deno.test("formatJson() has these keys and no others", () => {
  assertEquals(
    JSON.parse(formatJson({ config: "a.conf", role: "client" }, FINDINGS.slice(0, 2))),
    {
      config: "a.conf",
      role: "client",
      checks: [
        { name: "clock", status: "ok", why: "it is noon", remedy: null },
        { name: "tun-device", status: "fail", why: "it does not exist", remedy: "`modprobe tun`" },
      ],
    },
  );
  assertEquals(JSON.parse(formatJson({ config: null, role: null }, [])), {
    config: null,
    role: null,
    checks: [],
  });
});

Deno.test("hasFailed() is not moved by warnings", () => {
  assertEquals(hasFailed(FINDINGS), true);
  assertEquals(hasFailed(FINDINGS.filter(({ status }) => status !== "fail")), false);
});
