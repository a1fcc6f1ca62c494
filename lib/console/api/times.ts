/** Times, as the API has them. */

/** RFC 3339, UTC, of Unix ms. */
export function rfc3339(time: number): string {
  return new Date(time).toISOString();
}

export function rfc3339OrNull(time: number | null): string | null {
  return time === null ? null : rfc3339(time);
}
