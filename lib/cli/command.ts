/** Owns what a command line means once it is parsed: one of these commands, with its options. */

export const LOG_LEVELS = ["trace", "debug", "info", "warning", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** How much is logged, and how. */
export interface LogOptions {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

/** What `vpn server` and `vpn client` run with. */
export interface RunOptions extends LogOptions {
  readonly configPath: string;
  /** Name of the TUN device. */
  readonly interfaceName: string;
  /** The network namespace to run in, by its name in `/run/netns`. */
  readonly netns?: string;
  /** Whether segmentation offload may be used. */
  readonly offload: boolean;
}

/** What `vpn demo` runs with. */
export type DemoOptions = LogOptions;

/** A parsed command line. */
export type Command =
  | { readonly command: "server"; readonly options: RunOptions }
  | { readonly command: "client"; readonly options: RunOptions }
  | { readonly command: "demo"; readonly options: DemoOptions }
  | { readonly command: "genkey" | "pubkey" | "genpsk" }
  | { readonly command: "cleanup" }
  /** Text to print on standard output: help, the version, a completion script. */
  | { readonly command: "show"; readonly text: string };
