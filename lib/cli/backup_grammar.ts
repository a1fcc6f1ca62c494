/** Grammar of `vpn export` and `vpn import`. */
import { object } from "@optique/core/constructs";
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { about, configName, filePath, line } from "./values.ts";

/** Where `vpn import` writes unless told otherwise. */
const DEFAULT_FOLDER = "/etc/vpn";

const passphraseFile = optional(option(
  "--passphrase-file",
  filePath,
  about("--passphrase-file", "File whose first line is the passphrase. Default: ask for it"),
));

/** Makes the parser of `vpn export`. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function exportGrammar() {
  const request = object({
    names: multiple(argument(configName, {
      description: line(
        "Path of a configuration file, or a name: NAME stands for /etc/vpn/NAME.conf. Default: all in /etc/vpn",
      ),
    })),
    out: option(
      "--out",
      filePath,
      about("--out", 'File for the backup; "-" is standard output', {
        missing: line("--out FILE is missing: give the file for the backup"),
      }),
    ),
    passphraseFile,
  });
  return command("export", object({ command: constant("export"), request }), {
    brief: line("Save configurations and client files in an encrypted backup"),
    description: line(
      "The backup holds the configuration files and the files that `vpn peer add` keeps for clients. It is a tar archive, " +
        "encrypted with a passphrase in the age format: `vpn import` restores it, and so does `age -d FILE | tar x`.",
    ),
  });
}

/** Makes the parser of `vpn import`. */
// deno-lint-ignore explicit-module-boundary-types -- inferred: the type is the grammar over again
export function importGrammar() {
  const backup = argument(filePath, {
    description: line("File that `vpn export` wrote"),
    errors: {
      endOfInput: line("FILE is missing: give a file that `vpn export` wrote"),
      multiple: line("one FILE at a time"),
    },
  });
  const request = object({
    backup,
    folder: withDefault(
      option("--to", filePath, about("--to", "Folder to restore the files to")),
      DEFAULT_FOLDER,
    ),
    overwrite: option("--overwrite", about("--overwrite", "Replace files that differ")),
    passphraseFile,
  });
  return command("import", object({ command: constant("import"), request }), {
    brief: line("Restore the files of a backup"),
    description: line(
      "Writes nothing if the passphrase is wrong, if the backup is damaged, or if a file exists that differs, unless " +
        "--overwrite is given.",
    ),
  });
}
