/** Page: serves its files, which are all that there is besides the API; by their exact paths, out of memory. */

export interface PageFile {
  /** `Content-Type`. */
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly gzip: Uint8Array<ArrayBuffer>;
  /** Another for other bytes; in quotes. */
  readonly etag: string;
}

/** By the path of the URL. */
export type PageFiles = ReadonlyMap<string, PageFile>;

/** The answer to GET or HEAD; null where there is no such file. */
export function pageAnswer(request: Request, page: PageFiles): Response | null {
  const file = page.get(new URL(request.url).pathname);
  if (file === undefined) return null;
  const { headers } = request;
  const common = {
    "Cache-Control": "no-cache",
    "Content-Type": file.type,
    "ETag": file.etag,
    "Vary": "Accept-Encoding",
  };
  // No pattern that looks for blanks again and again: a stranger's header is of 16 KB.
  const known = (headers.get("if-none-match") ?? "").split(",").map((each) => each.trim());
  if (known.some((each) => each.replace(/^W\//, "") === file.etag)) {
    return new Response(null, { status: 304, headers: common });
  }
  const isPacked = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|$))/.test(
    headers.get("accept-encoding") ?? "",
  );
  const bytes = isPacked ? file.gzip : file.bytes;
  return new Response(request.method === "HEAD" ? null : bytes, {
    headers: {
      ...common,
      "Content-Length": `${bytes.length}`,
      ...(isPacked ? { "Content-Encoding": "gzip" } : {}),
    },
  });
}
