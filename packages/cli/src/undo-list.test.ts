import { expect, it } from "vitest";

import { undoList } from "./undo-list.ts";

it("undoes the last thing first, each once, and says what failed when all is done", async () => {
  const list = undoList();
  const done: string[] = [];
  const lost = new Error("lost");
  list.defer(async () => void done.push("first"));
  list.defer(async () => {
    done.push("second");
    throw lost;
  });
  list.defer(async () => void done.push("third"));
  await expect(list.undo()).rejects.toBe(lost);
  expect(done).toEqual(["third", "second", "first"]);
  await list.undo();
  expect(done).toHaveLength(3);
});
