/** Tests that real shells complete command lines by the scripts that `vpn completion` prints. */
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { netTest, output } from "../../support/net.ts";
import { PATIENCE } from "../../support/time/patience.ts";
import { vpnCommand } from "../support/programs/vpn.ts";

/**
 * A folder with a gateway of two clients, the script of a shell, and a program `vpn` that completes, and else prints
 * what it is called with.
 */
class Stage implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async of(shell: string): Promise<Stage> {
    const folder = temporaryFolder();
    const program = vpnCommand().map((word) => `'${word}'`).join(" ");
    await Deno.writeTextFile(
      `${folder}/vpn`,
      `#!/bin/sh\n[ "$1" = completion ] || exec echo "RAN:$*:"\nexec ${program} "$@"\n`,
      { mode: 0o755 },
    );
    await Deno.writeTextFile(
      `${folder}/script`,
      await output(null, vpnCommand("completion", shell)),
    );
    const peer = (name: string, key: string) =>
      `[Peer]\nName = ${name}\nPublicKey = ${key.repeat(42)}A=\nAllowedIPs = 10.66.77.${key}/32\n`;
    await Deno.writeTextFile(
      `${folder}/server.conf`,
      `[Interface]\nPrivateKey = ${"k".repeat(42)}A=\nAddress = 10.66.77.1/24\n` +
        peer("laptop", "2") + peer("phone", "3"),
      { mode: 0o600 },
    );
    return new Stage(folder);
  }

  /** What a shell prints that runs in the folder, `vpn` in its path. */
  async run(command: readonly string[]): Promise<string> {
    const inFolder = ["sh", "-c", 'cd "$0" && PATH=$0:$PATH exec "$@"', this.folder];
    return await output(null, [...inFolder, ...command], { timeoutMs: PATIENCE });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

netTest(
  "zsh lists all commands with their descriptions, and completes the names of peers",
  async () => {
    await using stage = await Stage.of("zsh");
    // What a person types, into a terminal of zsh's own; it waits for each text to be shown.
    const typed = String.raw`
zmodload zsh/zpty
zpty person "TERM=vt100 zsh -f -i"
zpty -w person 'stty cols 200; autoload -Uz compinit; compinit -u -D; source ./script; compdef _vpn vpn; print RE""ADY'
zpty -r person shown '*READY*'
zpty -w -n person $'vpn peer \t'
zpty -r person shown '*Show a client*'
print -r -- "$shown"
zpty -w -n person $'\x15vpn peer remove ph\t\r'
zpty -r person shown '*RAN:*:'
print -r -- "$shown"
zpty -d person
`;
    const shown = await stage.run(["zsh", "-fc", typed]);
    for (const action of ["add", "list", "remove", "show"]) {
      assert(new RegExp(`${action} +-- \\w`).test(shown), `"${action}" in ${shown}`);
    }
    assertStringIncludes(shown, "RAN:peer remove phone:");
  },
  { programs: ["zsh"] },
);

/** As bash does when a person presses a key behind these words. */
const COMPLETE_IN_BASH = `. ./script
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=\${#COMP_LINE}
set -- $(complete -p vpn)
while [ "$1" != -F ]; do shift; done
"$2" vpn
printf '%s\\n' "\${COMPREPLY[@]}"`;

netTest("bash completes commands and the names of peers", async () => {
  await using stage = await Stage.of("bash");
  const completed = async (...words: string[]) => {
    const text = await stage.run(["bash", "-c", COMPLETE_IN_BASH, "bash", ...words]);
    return text.trim().split("\n").map((word) => word.trim());
  };
  assertEquals(await completed("vpn", "peer", "l"), ["list"]);
  assertEquals(await completed("vpn", "peer", "show", "p"), ["phone"]);
}, { programs: ["bash"] });

netTest("fish completes commands and the names of peers", async () => {
  await using stage = await Stage.of("fish");
  const shown = await stage.run([
    ...["fish", "-N", "-c"],
    'source ./script; complete -C "vpn peer "; complete -C "vpn peer remove la"',
  ]);
  for (const action of ["add", "list", "remove", "show"]) {
    assert(new RegExp(`^${action}\t\\w`, "m").test(shown), `"${action}" in ${shown}`);
  }
  assertStringIncludes(shown, "laptop");
}, { programs: ["fish"] });
