/** Version: the version number of the program. */

/** The version as `vpn --version` shows it. */
export const VERSION = "0.1.0";
