/** Own command: how this very program is started again. */

export interface OwnCommand {
  readonly program: string;
  readonly args: readonly string[];
}

/**
 * What starts this program again: the executable itself if it is a compiled one; under `deno run` the runtime with the
 * flags, permissions and main module that this process was started with.
 */
export function ownCommand(): OwnCommand {
  const program = Deno.execPath();
  if (Deno.build.standalone) return { program, args: [] };
  return {
    program,
    args: runtimeArguments(Deno.readTextFileSync("/proc/self/cmdline"), Deno.args),
  };
}

/**
 * The part of a command line between the runtime's name and the program's own arguments.
 *
 * @param commandLine as in `/proc/PID/cmdline`: each word followed by a NUL
 * @param args the program's own arguments, with which the command line ends
 */
export function runtimeArguments(commandLine: string, args: readonly string[]): string[] {
  const words = commandLine.split("\0").slice(0, -1);
  return words.slice(1, words.length - args.length);
}
