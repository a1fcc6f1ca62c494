/** Account file: the tables of the account store, and by what a file is known as one. */
import type { FileKind } from "./kept_file.ts";

/**
 * In the file's header is "vpna".
 *
 * `WITHOUT ROWID`, as the key is all that is looked for. `total` has what is older than the days that are kept. Hours
 * are forgotten so often that they lie in their order.
 */
export const ACCOUNT_FILE: FileKind = {
  applicationId: 0x76706e61,
  version: 1,
  schema: `
  CREATE TABLE IF NOT EXISTS usage (
    day INTEGER NOT NULL, peer TEXT NOT NULL, name TEXT, received INTEGER NOT NULL, sent INTEGER NOT NULL,
    PRIMARY KEY (peer, day)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS hour (
    hour INTEGER NOT NULL, peer TEXT NOT NULL, name TEXT, received INTEGER NOT NULL, sent INTEGER NOT NULL,
    PRIMARY KEY (hour, peer)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS total (
    peer TEXT NOT NULL PRIMARY KEY, received INTEGER NOT NULL, sent INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS event (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, kind TEXT NOT NULL, peer TEXT, name TEXT,
    detail TEXT
  ) STRICT;
  CREATE TABLE IF NOT EXISTS webhook (server TEXT NOT NULL PRIMARY KEY, event INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`,
};
