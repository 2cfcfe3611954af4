import { readFile } from "node:fs/promises";

/** The image that tests and compose use: pinned once, in docker/postgres/Dockerfile. */
export async function postgresImage(): Promise<string> {
  const dockerfile = await readFile(
    new URL("../../docker/postgres/Dockerfile", import.meta.url),
    "utf8",
  );
  const image = /^FROM\s+(\S+)/m.exec(dockerfile)?.[1];
  if (image === undefined) throw new Error("docker/postgres/Dockerfile names no image");
  return image;
}
