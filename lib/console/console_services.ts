/** Console services: what the routes of the API work with. */
import { AccountTable } from "./accounts/account_table.ts";
import { AuditTable } from "./accounts/audit_table.ts";
import type { Database } from "./accounts/database.ts";
import { DeviceTable } from "./accounts/device_table.ts";
import { LinkTable } from "./accounts/link_table.ts";
import { Login } from "./accounts/login.ts";
import { LoginLimits } from "./accounts/login_limits.ts";
import { PasskeyTable } from "./accounts/passkeys.ts";
import { Passwords, type ScryptCost } from "./accounts/passwords.ts";
import { LoginSessions } from "./accounts/session_table.ts";
import { Setup } from "./accounts/setup.ts";
import { TokenTable } from "./accounts/token_table.ts";
import type { ConsoleGateway } from "./gateway/gateway.ts";
import { LiveFeed } from "./gateway/live_feed.ts";

export interface ConsoleServices {
  readonly gateway: ConsoleGateway;
  readonly feed: LiveFeed;
  readonly accounts: AccountTable;
  readonly devices: DeviceTable;
  readonly sessions: LoginSessions;
  readonly tokens: TokenTable;
  readonly links: LinkTable;
  readonly passkeys: PasskeyTable;
  readonly audit: AuditTable;
  readonly passwords: Passwords;
  readonly limits: LoginLimits;
  readonly login: Login;
  readonly setup: Setup;
  /** As `--version` says it. */
  readonly version: string;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  /** Is told of what goes wrong here. */
  readonly onFault: (error: unknown) => void;
}

export function consoleServices(
  { database, folder, gateway, version, now, monotonic, onFault, passwordCost }: {
    readonly database: Database;
    /** Of its state. */
    readonly folder: string;
    readonly gateway: ConsoleGateway;
    readonly version: string;
    readonly now: () => number;
    /** ms */
    readonly monotonic: () => number;
    readonly onFault: (error: unknown) => void;
    readonly passwordCost?: ScryptCost | undefined;
  },
): ConsoleServices {
  const accounts = new AccountTable(database);
  const devices = new DeviceTable(database, now);
  const sessions = new LoginSessions(database, now);
  const audit = new AuditTable(database, now, onFault);
  const passwords = new Passwords(passwordCost);
  const limits = new LoginLimits(monotonic);
  return {
    gateway,
    feed: new LiveFeed(gateway),
    accounts,
    devices,
    sessions,
    tokens: new TokenTable(database, now),
    links: new LinkTable(database, now),
    passkeys: new PasskeyTable(database, now),
    audit,
    passwords,
    limits,
    login: new Login({ accounts, devices, sessions, audit, passwords, limits, now }),
    setup: new Setup(database, folder),
    version,
    now,
    onFault,
  };
}
