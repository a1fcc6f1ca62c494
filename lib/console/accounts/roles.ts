/** Roles of accounts, scopes of tokens, and what each is allowed: a scope has all that those before it have. */

export const ACCOUNT_ROLES = ["viewer", "operator", "admin"] as const;
export type RoleName = (typeof ACCOUNT_ROLES)[number];

export const SCOPES = ["read", "peers", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** The scope of what an account with this role may do. */
export function scopeOf(role: RoleName): Scope {
  return SCOPES[ACCOUNT_ROLES.indexOf(role)]!;
}

/** Whether who has one scope may do what takes the other. */
export function includesScope(has: Scope, needed: Scope): boolean {
  return SCOPES.indexOf(has) >= SCOPES.indexOf(needed);
}

/** The lesser of two. */
export function lesserScope(one: Scope, other: Scope): Scope {
  return includesScope(one, other) ? other : one;
}
