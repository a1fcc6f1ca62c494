/** Shows what of a file's `[Interface]` is shown, and how it comes back. */
import { atOnce } from "../../../../../lib/core/config/at_once.ts";
import {
  addedTo,
  changedOf,
  settingsIn,
  withoutSecrets,
  withSettings,
} from "../../../../../lib/core/config/text/settings_text.ts";
import { RefusalError } from "../../../../../lib/core/config/refusal_error.ts";
import { ConfigError } from "../../../../../lib/core/config/config_error.ts";
import { assert, assertEquals, assertThrows } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const sectionOf = (text: string) => atOnce(settingsIn(text));
const fileWith = (text: string, settings: string) => atOnce(withSettings(text, settings));
const changedKeys = (keys: string[], before: string, after: string) =>
  atOnce(changedOf(keys, before, after));

const KEY = sampleKeys(1).privateKey;
const OLD = sampleKeys(2).privateKey;
const SECTION = `[Interface]
PrivateKey = ${KEY} # made in May
#PrivateKey = ${OLD}
Address = 10.66.77.1/24
# last
`;
const FILE = `# mine\n${SECTION}\n# the laptop\n[Peer]\nPublicKey = ${sampleKeys(3).publicKey}\n`;
const SHOWN = `[Interface]
PrivateKey = (secret) # made in May
#PrivateKey = (secret)
Address = 10.66.77.1/24
# last
`;

Deno.test("settings are shown with their comments and without a secret, in comments neither", () => {
  assertEquals(sectionOf(FILE), SECTION);
  assertEquals(withoutSecrets(SECTION), SHOWN);
  const hook = `[Interface]\nWebhookSecret=${KEY}\n privatekey =${KEY}#x\n`;
  assertEquals(
    withoutSecrets(hook),
    "[Interface]\nWebhookSecret=(secret)\n privatekey =(secret)#x\n",
  );
});

Deno.test("a secret is shown neither in a command nor in a comment that names it, however short", () => {
  const short = "c2hvcnQgc2VjcmV0IG9mIDI0IGI=";
  const section = `[Interface]
PostUp = wg set %i private-key <(echo ${KEY}); ip rule add table 7
PreUp = PrivateKey=abc ./start
# WebhookSecret = whsec_${short}
#presharedkey=${short}
`;
  assertEquals(
    withoutSecrets(section),
    `[Interface]
PostUp = wg set %i private-key <(echo (secret)); ip rule add table 7
PreUp = PrivateKey=(secret) ./start
# WebhookSecret = (secret)
#presharedkey=(secret)
`,
  );
  assertEquals(fileWith(section, withoutSecrets(section)), section);
});

Deno.test("of lines that are shown alike, each comes back as it was", () => {
  const section = `[Interface]\n#PrivateKey = ${KEY}\n#PrivateKey = ${OLD}\nMTU = 1400\n`;
  const shown = withoutSecrets(section);
  assertEquals(fileWith(section, shown), section);
  assertEquals(
    fileWith(section, `${shown}#PrivateKey = (secret)\n`),
    `${section}#PrivateKey = ${KEY}\n`,
  );
});

Deno.test("settings are shown in a time that grows with their length, whatever is in them", () => {
  // A pattern that looks for blanks again and again takes hours for these.
  const blanks = " ".repeat(3_000_000);
  const section =
    `[Interface]\nEgressDeny = 10.0.0.0/8,${blanks}10.1.0.0/16\n${blanks}MTU = 1400\n`;
  assertEquals(withoutSecrets(section), section);
  const secret = `PrivateKey =${blanks}${KEY}${blanks}# x\n`;
  assertEquals(withoutSecrets(secret), `PrivateKey =${blanks}(secret)${blanks}# x\n`);
});

Deno.test("what is shown puts the file back as it was, to the byte", () => {
  assertEquals(fileWith(FILE, SHOWN), FILE);
  const dos = FILE.replaceAll("\n", "\r\n");
  assertEquals(fileWith(dos, withoutSecrets(sectionOf(dos))), dos);
  assertEquals(fileWith(dos, SHOWN), dos);
  const unended = SECTION.trimEnd();
  assertEquals(fileWith(unended, SHOWN), unended);
});

Deno.test("a change of the settings leaves all that is not of them, and keeps a secret whose line was touched", () => {
  const edited = SHOWN.replace("made in May", "made in June").replace("# last", "MTU = 1380");
  assertEquals(
    fileWith(FILE, edited),
    FILE.replace("made in May", "made in June").replace("# last", "MTU = 1380"),
  );
  assertEquals(
    fileWith(FILE, "[Interface]\nprivate key=(secret)"),
    `# mine\n[Interface]\nprivate key=${KEY}\n\n# the laptop\n[Peer]\nPublicKey = ${
      sampleKeys(3).publicKey
    }\n`,
  );
});

Deno.test("what stands for a secret that is not there, or for two, is refused", () => {
  for (const line of ["WebhookSecret = (secret)", "#a (secret)", "Address = (secret)"]) {
    const error = assertThrows(() => fileWith(FILE, `${SHOWN}${line}\n`), RefusalError);
    assertEquals(error.code, "invalid");
    assert(error.message.startsWith("Line 6: (secret)"), error.message);
  }
});

Deno.test("settings are one section: no peer comes in with them, and none is lost", () => {
  const peer = `${SHOWN}[Peer]\nPublicKey = ${sampleKeys(4).publicKey}\n`;
  for (const text of [peer, "", "# nothing", `${SHOWN}${SHOWN}`]) {
    assertThrows(() => fileWith(FILE, text), RefusalError, "one section [Interface]");
  }
  assertThrows(() => fileWith(FILE, "[Interface]\nfoo\n"), ConfigError, "settings:2");
  assertThrows(() => sectionOf(`${FILE}[Interface]\nMTU = 1400\n`), RefusalError, "2 sections");
});

Deno.test("changedOf() tells which keys are others, however they are written", () => {
  const keys = ["PostUp", "PrivateKey"];
  const before = "[Interface]\nPostUp = a\nPostUp = b\n";
  assertEquals(changedKeys(keys, before, "[Interface]\n# x\npostup =a\nPostUp=b # y\n"), []);
  assertEquals(changedKeys(keys, before, "[Interface]\nPostUp = b\nPostUp = a\n"), ["PostUp"]);
  assertEquals(changedKeys(keys, before, `${before}PrivateKey = x\n`), ["PrivateKey"]);
});

Deno.test("addedTo() tells the values that a key has come to have", () => {
  const before = "[Interface]\nDnsBlock = a\ndnsblock = b\n";
  const after = "[Interface]\nDnsBlock=b # x\nDNSBLOCK = c\n[Peer]\nDnsBlock = d\n";
  assertEquals(atOnce(addedTo("DnsBlock", before, after)), ["c"]);
});
