import { LRUCache } from "lru-cache";
import type { SubjectRef } from "./identity.ts";

/** A bounded cache whose entries can be found by the human that they belong to. */
export interface SubjectCache<Value extends object> {
  get(key: string): Value | undefined;
  set(key: string, subject: SubjectRef, value: Value): void;
  delete(key: string): void;
  deleteAll(subject: SubjectRef): void;
  clear(): void;
  /** How many humans have entries: the size of the index, which is bounded like the entries. */
  readonly subjects: number;
}

interface Entry<Value> {
  readonly name: string;
  readonly value: Value;
}

export function subjectCache<Value extends object>(maxEntries: number): SubjectCache<Value> {
  const keys = new Map<string, Set<string>>();
  const entries = new LRUCache<string, Entry<Value>>({
    max: maxEntries,
    dispose: ({ name }, key) => {
      const held = keys.get(name);
      if (held?.delete(key) === true && held.size === 0) keys.delete(name);
    },
  });
  return {
    get: (key) => entries.get(key)?.value,
    set(key, subject, value) {
      const name = nameOf(subject);
      entries.set(key, { name, value });
      // After the set: replacing an entry disposes of the old one, and takes its key out.
      const held = keys.get(name);
      if (held === undefined) keys.set(name, new Set([key]));
      else held.add(key);
    },
    delete(key) {
      entries.delete(key);
    },
    deleteAll(subject) {
      for (const key of keys.get(nameOf(subject)) ?? []) entries.delete(key);
    },
    clear: () => entries.clear(),
    get subjects() {
      return keys.size;
    },
  };
}

// JSON keeps the border between the two: no pair can be written like another one.
function nameOf({ issuer, subject }: SubjectRef): string {
  return JSON.stringify([issuer, subject]);
}
