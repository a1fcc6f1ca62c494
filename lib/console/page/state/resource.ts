/** What is fetched for a screen: its value, why there is none, and fetching it again. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, messageOf } from "./api.ts";

export interface Resource<Value> {
  /** The last that came; null before the first. */
  readonly value: Value | null;
  /** Whether one has come; it may be null itself. */
  readonly isHere: boolean;
  readonly trouble: string | null;
  readonly reload: () => Promise<void>;
  /** The same by the page itself, now and then, which is no use by a person. */
  readonly refresh: () => Promise<void>;
}

/** Fetches `path`, and again whenever that is another; null for nothing. */
export function useResource<Value>(path: string | null): Resource<Value> {
  const [value, setValue] = useState<Value | null>(null);
  const [isHere, setHere] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  const asked = useRef<string | null>(null);
  const load = useCallback(async (isByItself: boolean) => {
    if (path === null) return;
    asked.current = path;
    try {
      const answer = await get<Value>(path, isByItself);
      // Another question has been asked in the meantime.
      if (asked.current !== path) return;
      setValue(answer);
      setHere(true);
      setTrouble(null);
    } catch (error) {
      if (asked.current === path) setTrouble(messageOf(error));
    }
  }, [path]);
  const reload = useCallback(() => load(false), [load]);
  const refresh = useCallback(() => load(true), [load]);
  useEffect(() => {
    setValue(null);
    setHere(false);
    void reload();
    return () => {
      asked.current = null;
    };
  }, [reload]);
  return { value, isHere, trouble, reload, refresh };
}
